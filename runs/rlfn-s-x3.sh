#!/usr/bin/env bash
# rlfn-s-x3: from the eighth stage of rlfn-s-x4, which is made first. 128 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" bash "$checkout/runs/rlfn-s-x4.sh"

teach 3
# 920 pictures in place of 613. Its length was set in time, on a share of one busy core.
stage 1 weights-s-x3 taught-x3.pack \
    stages.0.init=rlfn-s-x4/stage-8/model.safetensors \
    stages.0.iterations=2288 \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

pack hr
# 825 pictures in place of 920. Its length was set in time, on two cores.
stage 2 weights-s-x3 taught-x3.pack=0.6,hr.pack=0.4 \
    stages.0.init=rlfn-s-x3/stage-1/model.safetensors \
    stages.0.iterations=5052 \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 2
