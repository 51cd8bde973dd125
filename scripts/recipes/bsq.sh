#!/usr/bin/env bash
# Trains a BSQ tokenizer and the prior of its bits: bsq.sh DATA VALIDATION LPIPS RUNS OUT [CLIPS...]
#
# DATA        a folder of pictures, or of tar shards of them; moving clips are made from these
# VALIDATION  a folder of pictures that are not trained on; the logs show how they fare
# LPIPS       a safetensors file of SqueezeNet's features and the linear layers of LPIPS
# RUNS        a folder for the runs, one each stage
# OUT         a folder for the weights
# CLIPS       tar shards of real clips, with members CLIP/FRAME.avif in order
#
# A stage that is finished ends at once. So after an interruption the same command goes on.
# common.sh lists the environment variables. docs/TRAINING.md says what each stage is for.
set -euo pipefail

DATA=$1 VALIDATION=$2 LPIPS=$3 RUNS=$4 OUT=$5
shift 5
. "$(dirname "$0")/common.sh"

NETWORK=${NETWORK:---encoder-blocks 2 --decoder-blocks 6}  # arguments for the tokenizer's shape
SHORT=${SHORT:---bits 18}                                  # of the code that is learned first
DEPTHS=${DEPTHS:---bits 36 --depths 6:.5 12 18:5 24:1.5 36:4}  # of the code in the end
PRIOR=${PRIOR:-'{"lattices": [4, 4, 4, 2, 2, 2], "earlier_frames": 2, "earlier_blocks": 2}'}
MOVING=${MOVING:-250}                                      # clips made from pictures
pictures=(--data "$DATA" --validation "$VALIDATION" --cache "$RUNS/pictures")
losses=(--ms-ssim 0.5 --lpips "$LPIPS")

# 1. The tokenizer of the short code, on many small crops.
# shellcheck disable=SC2086  # NETWORK and the like are several words
stage short 600 bsq "${pictures[@]}" "${losses[@]}" $NETWORK $SHORT --batch 32 --crop 128

# 2. Longer codes, which begin with the short one, cut to a random depth in each crop.
# shellcheck disable=SC2086
stage tokenizer 600 bsq "${pictures[@]}" "${losses[@]}" $NETWORK $DEPTHS --init "$RUNS/short" \
    --perceptual 0.6 --batch 32 --crop 128

# 3. On larger crops, against an adversary.
# shellcheck disable=SC2086
stage adversarial 200 bsq "${pictures[@]}" "${losses[@]}" $NETWORK $DEPTHS \
    --init "$RUNS/tokenizer" --perceptual 0.6 --batch 8 --crop 256 --rate 1e-3 --adversarial 0.1

# 4. The prior of its bits, on pictures and on frames of clips.
stage prior 300 bit-prior "${pictures[@]}" --tokenizer "$RUNS/adversarial" --config "$PRIOR" \
    --batch 16 --crop 256 --clips "$@" --clip-cache "$RUNS/clips" --moving "$MOVING"

# 5. What the frames before add to a frame's picture, on clips.
stage frames 60 bsq-video --data "$DATA" --cache "$RUNS/pictures" "${losses[@]}" \
    --init "$RUNS/adversarial" --perceptual 0.6 --batch 8 --crop 128 \
    --clips "$@" --clip-cache "$RUNS/clips" --moving "$MOVING"

command_of_training export-bsq --tokenizer "$RUNS/frames" --prior "$RUNS/prior" --out "$OUT" --default
