#!/usr/bin/env bash
# The first two stages of what rlfn-xs-x4 was before, from which rlfn-xs-x3 and rlfn-xs-x2 start. 25 minutes of steps.
source "$(dirname "$0")/lib.sh"

teach 4
# Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-x4 taught-x4.pack \
    stages.0.iterations=812 \
    'stages.0.phases=[{ at = 0.65, patch = 40 }, { at = 0.9, patch = 48, batch = 12 }]'

# Its length was set in time; the phases meet lr_pixels.
stage 2 weights-xs-x4 taught-x4.pack \
    stages.0.init=rlfn-xs-x4-before/stage-1/model-train.safetensors \
    stages.0.iterations=5370 \
    stages.0.optimizer.lr=1e-2 \
    'stages.0.phases=[{ at = 0.61, patch = 40 }, { at = 0.88, patch = 48, batch = 12 }]'
