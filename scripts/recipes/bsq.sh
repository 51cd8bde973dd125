#!/usr/bin/env bash
# Trains a BSQ tokenizer and the prior of its bits: scripts/recipes/bsq.sh DATA VALIDATION LPIPS RUNS OUT
#
# DATA        a folder of pictures, or of tar shards of them
# VALIDATION  a folder of pictures that are not trained on; the logs show how they fare
# LPIPS       a safetensors file of SqueezeNet's features and the linear layers of LPIPS
# RUNS        a folder for the runs, one each stage
# OUT         a folder for the weights
#
# A stage that is finished ends at once. So after an interruption the same command goes on.
# common.sh lists the environment variables. docs/TRAINING.md says what each stage is for.
set -euo pipefail

DATA=$1 VALIDATION=$2 LPIPS=$3 RUNS=$4 OUT=$5
. "$(dirname "$0")/common.sh"

NETWORK=${NETWORK:---encoder-blocks 2 --decoder-blocks 6}  # arguments for the tokenizer's shape
PRIOR=${PRIOR:-'{}'}                                       # JSON of BitPriorConfig
pictures=(--data "$DATA" --validation "$VALIDATION" --cache "$RUNS/pictures")
losses=(--ms-ssim 0.5 --lpips "$LPIPS")

# 1. The tokenizer, on many small crops.
# shellcheck disable=SC2086  # NETWORK are several words
stage tokenizer 600 bsq "${pictures[@]}" "${losses[@]}" $NETWORK --batch 32 --crop 128

# 2. On larger crops, against an adversary.
# shellcheck disable=SC2086
stage adversarial 200 bsq "${pictures[@]}" "${losses[@]}" $NETWORK --init "$RUNS/tokenizer" \
    --batch 8 --crop 256 --rate 1e-3 --adversarial 0.1

# 3. The prior of its bits.
stage prior 300 bit-prior "${pictures[@]}" --tokenizer "$RUNS/adversarial" --config "$PRIOR" \
    --batch 16 --crop 256

command_of_training export-bsq --tokenizer "$RUNS/adversarial" --prior "$RUNS/prior" --out "$OUT" --default
