#!/usr/bin/env bash
# rlfn-xs-x4: the fast tier at x4. 25 minutes of steps on one CPU core, then 28 on two.
source "$(dirname "$0")/lib.sh"

teach 4
# Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-x4 taught-x4.pack \
    stages.0.iterations=812 \
    'stages.0.phases=[{ at = 0.65, patch = 40 }, { at = 0.9, patch = 48, batch = 12 }]'

# Its length was set in time; the phases meet lr_pixels.
stage 2 weights-xs-x4 taught-x4.pack \
    stages.0.init=rlfn-xs-x4/stage-1/model-train.safetensors \
    stages.0.iterations=5370 \
    stages.0.optimizer.lr=1e-2 \
    'stages.0.phases=[{ at = 0.61, patch = 40 }, { at = 0.88, patch = 48, batch = 12 }]'

teach 4 --self-ensemble
pack hr
# 825 pictures in place of 613. It starts from the fused network. Its length was set in time. On two cores.
stage 3 weights-xs-x4 taught8-x4.pack=0.7,hr.pack=0.3 \
    stages.0.init=rlfn-xs-x4/stage-2/model.safetensors \
    stages.0.iterations=12054 \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 3
