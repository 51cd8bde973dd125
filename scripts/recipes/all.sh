#!/usr/bin/env bash
# Trains all weights on other pictures: scripts/recipes/all.sh DATA VALIDATION RUNS OUT [CLIPS...]
#
# DATA        a folder of pictures, or of tar shards of them
# VALIDATION  a folder of pictures that are not trained on; the logs show how they fare
# RUNS        a folder for the runs, one each stage; those of bsq.sh lie in RUNS/bsq
# OUT         a folder for the weights, as BSQCODEC_WEIGHTS takes it
# CLIPS       tar shards of real clips, with members CLIP/FRAME.avif in order
#
# Runs pictures.sh, video.sh and, where LPIPS is set, bsq.sh, which is for --model bsq alone. They list
# what the environment can change; common.sh lists the rest. Beside that:
#   LPIPS      a safetensors file of SqueezeNet's features and the linear layers of LPIPS
#   BSQ_PRIOR  what PRIOR is for bsq.sh, as PRIOR is the other prior's here
#
# A stage that is finished ends at once. So after an interruption the same command goes on.
set -euo pipefail

DATA=$1 VALIDATION=$2 RUNS=$3 OUT=$4
shift 4
recipes=$(dirname "$0")

bash "$recipes/pictures.sh" "$DATA" "$VALIDATION" "$RUNS" "$OUT"
bash "$recipes/video.sh" "$DATA" "$RUNS" "$OUT" "$@"
if [ -n "${LPIPS:-}" ]; then
    PRIOR=${BSQ_PRIOR:-} bash "$recipes/bsq.sh" "$DATA" "$VALIDATION" "$LPIPS" "$RUNS/bsq" "$OUT" "$@"
fi
