#!/usr/bin/env bash
# rlfn-s-x3: from the body of rlfn-s-x4, which is made first. 27 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

UNTIL=7 SETS="" bash "$checkout/runs/rlfn-s-x4.sh"

teach 3
# The fourth stage that was trained at x3; it does not descend from the three before. The phases were not logged;
# these meet lr_pixels. Two processes shared its batches.
stage 1 weights-s-x3 taught-x3.pack \
    stages.0.init=rlfn-s-x4/stage-7/model.safetensors \
    stages.0.iterations=1972 \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.76, batch = 16 }]'

ship 1
