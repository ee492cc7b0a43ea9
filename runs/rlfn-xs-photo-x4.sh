#!/usr/bin/env bash
# rlfn-xs-photo-x4: from rlfn-xs-x4, which is made first. 30 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=2 bash "$checkout/runs/rlfn-xs-x4.sh"

pack hr
# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-photo-x4 hr.pack \
    stages.0.init=rlfn-xs-x4/stage-2/model.safetensors \
    stages.0.iterations=789 \
    'data.degradation_settings={ blur = 0.5, kernels = ["bicubic", "area", "bilinear"], poisson = 0.3, jpeg = 0.75 }' \
    'stages.0.phases=[{ at = 0.63, batch = 16 }]'

ship 1
