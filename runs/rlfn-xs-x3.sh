#!/usr/bin/env bash
# rlfn-xs-x3: from what rlfn-xs-x4 was before, which is made first. 23 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL="" bash "$checkout/runs/rlfn-xs-x4-before.sh"

pack hr
# Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-x3 hr.pack \
    stages.0.init=rlfn-xs-x4-before/stage-2/model-train.safetensors \
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

teach 3
# 825 pictures. On two cores.
stage 3 weights-xs-x3 taught-x3.pack=0.6,hr.pack=0.4 \
    stages.0.init=rlfn-xs-x3/stage-2/model.safetensors \
    stages.0.iterations=4200 \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# Quantization-aware training of the fused network. On two cores.
stage 4 weights-xs-x3 taught-x3.pack=0.6,hr.pack=0.4 \
    stages.0.init=rlfn-xs-x3/stage-3/model.safetensors \
    stages.0.iterations=2000 \
    variant=rlfn-xs \
    stages.0.int8=true \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=4e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=12 \
    'stages.0.phases=[]'

ship 4
