#!/usr/bin/env bash
# rlfn-xs-photo-x2: from rlfn-xs-x2, which is made first. 24 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" bash "$checkout/runs/rlfn-xs-x2.sh"

pack hr
# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-photo-x2 hr.pack \
    stages.0.init=rlfn-xs-x2/stage-2/model.safetensors \
    stages.0.iterations=679 \
    'stages.0.phases=[{ at = 0.589, batch = 16 }]'

ship 1
