#!/usr/bin/env bash
# rlfn-xs-x3: from rlfn-xs-x4, which is made first. 12 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=2 bash "$checkout/runs/rlfn-xs-x4.sh"

pack hr
# Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-x3 hr.pack \
    stages.0.init=rlfn-xs-x4/stage-2/model-train.safetensors \
    stages.0.iterations=1835 \
    stages.0.optimizer.lr=8e-3 \
    'stages.0.phases=[{ at = 0.61, patch = 40 }, { at = 0.88, patch = 48, batch = 12 }]'

# Quantization-aware training of the fused network.
stage 2 weights-xs-x3 hr.pack \
    stages.0.init=rlfn-xs-x3/stage-1/model.safetensors \
    stages.0.iterations=700 \
    variant=rlfn-xs \
    stages.0.int8=true \
    stages.0.optimizer.lr=3e-3 \
    stages.0.patch=48 \
    stages.0.batch=10 \
    'stages.0.phases=[]'

ship 2
