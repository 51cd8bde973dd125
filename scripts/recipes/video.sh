#!/usr/bin/env bash
# Trains weights for videos: scripts/recipes/video.sh DATA RUNS OUT [CLIPS...]
#
# DATA   a folder of pictures, or of tar shards of them; moving clips are made from these
# RUNS   the folder of the runs of pictures.sh, which comes first; this recipe's runs lie beside
# OUT    the folder of the weights that pictures.sh made
# CLIPS  tar shards of real clips, with members CLIP/FRAME.avif in order
#
# A stage that is finished ends at once. So after an interruption the same command goes on.
# common.sh lists the environment variables. docs/TRAINING.md says what each stage is for.
set -euo pipefail

DATA=$1 RUNS=$2 OUT=$3
shift 3
. "$(dirname "$0")/common.sh"

INTER=${INTER:-'{}'}      # JSON of PriorConfig where the inter prior's is not to be the default
MOVING=${MOVING:-700}     # clips made from pictures
shared=(--data "$DATA" --cache "$RUNS/pictures" --clip-cache "$RUNS/clips"
    --tokenizer "$RUNS/joint")

# 1. The networks of inter frames, in the loop: each frame from the decoded one before. First three
# inter frames a clip, then four.
stage inter-three 40 video "${shared[@]}" --clips "$@" --moving "$MOVING" --rate 1e-3
stage inter-four 60 video "${shared[@]}" --init "$RUNS/inter-three" --frames 5 --batch 4 --rate 1e-3

# 2. The inter prior, on groups that these networks code.
stage inter-prior 140 inter "${shared[@]}" --inter-network "$RUNS/inter-four" \
    --group-cache "$RUNS/groups-four" --rate 2e-3 --decay 0.6 --quantized-from 0.6 --config "$INTER"

# 3. The encoder of inter frames gets networks too, by the inter prior's rate.
stage inter-joint 80 video "${shared[@]}" --init "$RUNS/inter-four" --prior "$RUNS/inter-prior" \
    --horizon 3 --frames 5 --batch 4 --rate 1e-3 --decay 0.5

# 4. The inter prior, on groups that this encoder codes.
stage inter-prior-joint 47 inter "${shared[@]}" --init "$RUNS/inter-prior" \
    --inter-network "$RUNS/inter-joint" --group-cache "$RUNS/groups-joint" \
    --rate 1.2e-3 --decay 0.6 --quantized-from 0.5

# 5. Both, and the probabilities of motion vectors counted on those groups, into one file beside the
# weights of pictures.
image=$(sed -n 's/.*"default": *"\([0-9a-f]*\)".*/\1/p' "$OUT/index.json")
command_of_training export-video --image "$OUT/image-$image.safetensors" \
    --inter-network "$RUNS/inter-joint" --inter "$RUNS/inter-prior-joint" \
    --group-cache "$RUNS/groups-joint" --out "$OUT" --default

# 6. A further decoder of inter frames, which shows them and from which none is predicted, for LPIPS
# too: where the recipe of pictures made the look, and LPIPS names its file.
natural=$(sed -n "s/.*\"$image-natural\": *\"\([0-9a-f]*\)\".*/\1/p" "$OUT/index.json")
if [ -n "${LPIPS:-}" ] && [ -n "$natural" ]; then
    video=$(sed -n 's/.*"video": *"\([0-9a-f]*\)".*/\1/p' "$OUT/index.json")
    stage natural-video 32 video "${shared[@]}" --init "$OUT/video-$video.safetensors" --shown \
        --lpips "$LPIPS" --perceptual 0.6 --ms-ssim 0.5 --frames 3 --batch 8 --rate 1e-3 --decay 0.5 \
        --average 0.995
    command_of_training export-look --weights "$OUT/video-$video.safetensors" \
        --inter-network "$RUNS/natural-video" "$OUT/video-$video.safetensors" \
        --picture-look "$OUT/look-$natural.safetensors" --look natural --out "$OUT"
fi
