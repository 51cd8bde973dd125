#!/usr/bin/env bash
# Trains weights for pictures: scripts/recipes/pictures.sh DATA VALIDATION RUNS OUT
#
# DATA        a folder of pictures, or of tar shards of them
# VALIDATION  a folder of pictures that are not trained on; the logs show how they fare
# RUNS        a folder for the runs, one each stage
# OUT         a folder for the weights, as bsqcodec's --weights or BSQCODEC_WEIGHTS take it
#
# LPIPS       environment: a safetensors file of SqueezeNet's features and the linear layers of LPIPS,
#             for the look "natural"
#
# A stage that is finished ends at once. So after an interruption the same command goes on.
# common.sh lists the environment variables. docs/TRAINING.md says what each stage is for.
set -euo pipefail

DATA=$1 VALIDATION=$2 RUNS=$3 OUT=$4
. "$(dirname "$0")/common.sh"

TOKENIZER=${TOKENIZER:-}  # further pairs of TokenizerConfig's JSON, each followed by a comma
PRIOR=${PRIOR:-'{"attention": false, "blocks": 6, "depths": [6, 6, 2], "lattices": [2, 2, 2],
    "bands": [[32, 256], [256], [256]]}'}
CROPS=${CROPS:---count 608}  # arguments for the stage that optimises crops
FOUR="{$TOKENIZER \"companding\": 0.3, \"encoder_blocks\": 0}"
EIGHT="{$TOKENIZER \"companding\": 0.3, \"decoder_blocks\": 8}"
pictures=(--data "$DATA" --validation "$VALIDATION" --cache "$RUNS/pictures")

# 1. The transform (KLT, computed at the start) and a decoder for it, by squared error.
stage first 60 tokenizer "${pictures[@]}" --rate 2e-3 --config "{$TOKENIZER \"encoder_blocks\": 0}"

# 2. The decoder goes on with finer low frequencies, and for MS-SSIM.
stage second 15 tokenizer "${pictures[@]}" --init "$RUNS/first" --gains 0.6 --ms-ssim 0.5 \
    --rate 1.5e-3 --decay 0.3 --config "{$TOKENIZER \"encoder_blocks\": 0}"
stage third 40 tokenizer "${pictures[@]}" --init "$RUNS/second" --gains 0.8 --ms-ssim 0.8 \
    --rate 1.5e-3 --decay 0.5 --config "{$TOKENIZER \"encoder_blocks\": 0}"

# 3. And with companding.
stage decoder 26 tokenizer "${pictures[@]}" --init "$RUNS/third" --ms-ssim 0.8 \
    --rate 1e-3 --decay 0.5 --config "$FOUR"

# 4. The prior, on the integers of that tokenizer.
stage prior 240 prior "${pictures[@]}" --tokenizer "$RUNS/decoder" \
    --rate 2e-3 --decay 0.5 --quantized-from 0.7 --config "$PRIOR"

# 5. An encoder with networks, and the decoder with it, by the prior's rate.
stage joint 90 joint "${pictures[@]}" --init "$RUNS/decoder" --prior "$RUNS/prior" \
    --ms-ssim 0.7 --rate 1e-3 --decay 0.4

# 6. The prior, on the integers that this encoder makes.
stage prior-joint 215 prior "${pictures[@]}" --tokenizer "$RUNS/joint" --init "$RUNS/prior" \
    --rate 1.5e-3 --decay 0.6 --quantized-from 0.7

# 7. A decoder with eight blocks instead of four, for the same integers.
stage decoder8 84 tokenizer "${pictures[@]}" --init "$RUNS/joint" --ms-ssim 0.75 \
    --rate 1e-3 --decay 0.4 --config "$EIGHT"

# 8. Integers of training crops as --effort 2 chooses them, with the weights so far.
command_of_training export --tokenizer "$RUNS/decoder8" --prior "$RUNS/prior-joint" \
    --out "$RUNS/interim" --default
interim=$(ls "$RUNS"/interim/image-*.safetensors)
# shellcheck disable=SC2086  # CROPS are several words
command_of_training searched --weights "$interim" --data "$DATA" --cache "$RUNS/pictures" \
    --out "$RUNS/searched" $CROPS

# 9. The decoder learns from these too. The mean of the weights before and after is exported.
stage decoder9 77 tokenizer "${pictures[@]}" --init "$interim" --searched "$RUNS/searched" \
    --ms-ssim 0.8 --rate 1e-3 --decay 0.5 --config "$EIGHT"
command_of_training export --tokenizer "$interim" "$RUNS/decoder9" --prior "$RUNS/prior-joint" \
    --out "$OUT" --default

# 10. A further decoder for the same integers, for LPIPS too, where its file is named. The mean of the
# weights before and after is exported.
if [ -n "${LPIPS:-}" ]; then
    weights=$(ls -t "$OUT"/image-*.safetensors | head -n 1)
    stage natural 40 tokenizer "${pictures[@]}" --init "$weights" --lpips "$LPIPS" --perceptual 0.6 \
        --ms-ssim 0.5 --rate 1e-3 --decay 0.5 --average 0.995 --config "$EIGHT"
    command_of_training export-look --weights "$weights" --tokenizer "$RUNS/natural" "$weights" \
        --look natural --out "$OUT"
fi
