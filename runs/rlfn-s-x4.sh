#!/usr/bin/env bash
# rlfn-s-x4: RLFN-S at x4, taught by the official one block by block. 2.1 hours of steps on two CPU cores.
source "$(dirname "$0")/lib.sh"

teach 4
flats
# Its length was set in time. The errors were relative to the variance in each batch.
stage 1 weights-s-x4 taught-x4.pack=0.97,flats.pack=0.03 \
    stages.0.init=scratch \
    stages.0.teacher="$teachers/rlfn_s_x4.pth" \
    stages.0.iterations=4500 \
    'stages.0.loss={ l1 = 0.0, blockwise = 1.0 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.adam_lr=5e-3 \
    stages.0.optimizer.weight_decay=0.0 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

stage 2 weights-s-x4 taught-x4.pack=0.95,flats.pack=0.05 \
    stages.0.init=rlfn-s-x4/stage-1/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x4.pth" \
    stages.0.iterations=6000 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 0.0, blockwise = 1.0 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.adam_lr=5e-3 \
    stages.0.optimizer.weight_decay=0.0 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

pack hr
stage 3 weights-s-x4 taught-x4.pack=0.62,hr.pack=0.33,flats.pack=0.05 \
    stages.0.init=rlfn-s-x4/stage-2/model.safetensors \
    stages.0.iterations=2000 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=3e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

stage 4 weights-s-x4 taught-x4.pack=0.62,hr.pack=0.33,flats.pack=0.05 \
    stages.0.init=rlfn-s-x4/stage-3/model.safetensors \
    stages.0.iterations=5000 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=3e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 4
