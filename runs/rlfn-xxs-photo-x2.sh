#!/usr/bin/env bash
# rlfn-xxs-photo-x2: the real-time tier. 16 minutes of steps.
source "$(dirname "$0")/lib.sh"

pack hr
# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xxs-photo-x2 hr.pack \
    stages.0.iterations=895 \
    'stages.0.phases=[{ at = 0.591, batch = 16 }]'

ship 1
