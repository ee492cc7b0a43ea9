#!/usr/bin/env bash
# rlfn-xs-x4: the fast tier at x4. 53 minutes of steps on one CPU core.
source "$(dirname "$0")/lib.sh"

teach 4
pack hr
flats
stage 1 weights-xs-x4 taught-x4.pack=0.67,hr.pack=0.3,flats.pack=0.03 \
    stages.0.centred=true \
    stages.0.iterations=12000 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# It starts from the fused network.
stage 2 weights-xs-x4 taught-x4.pack=0.67,hr.pack=0.3,flats.pack=0.03 \
    stages.0.init=rlfn-xs-x4/stage-1/model.safetensors \
    stages.0.centred=true \
    stages.0.iterations=9000 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 2
