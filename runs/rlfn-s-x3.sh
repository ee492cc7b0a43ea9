#!/usr/bin/env bash
# rlfn-s-x3: from rlfn-s-x4, which is made first. 147 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL="" bash "$checkout/runs/rlfn-s-x4.sh"

pack hr
teach 3
flats
# On one core.
stage 1 weights-s-x3 taught-x3.pack=0.57,hr.pack=0.38,flats.pack=0.05 \
    stages.0.init=rlfn-s-x4/stage-4/model.safetensors \
    stages.0.iterations=2800 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=4e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# On one core.
stage 2 weights-s-x3 taught-x3.pack=0.57,hr.pack=0.38,flats.pack=0.05 \
    stages.0.init=rlfn-s-x3/stage-1/model.safetensors \
    seed=8 \
    stages.0.centred=true \
    stages.0.iterations=7500 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=5e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

stage 3 weights-s-x3 taught-x3.pack=0.57,hr.pack=0.38,flats.pack=0.05 \
    stages.0.init=rlfn-s-x3/stage-2/model.safetensors \
    seed=9 \
    stages.0.centred=true \
    stages.0.iterations=4400 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 20.0 }' \
    stages.0.optimizer.lr=4e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'
average 3 0.5 2

stage 4 weights-s-x3 taught-x3.pack=0.57,hr.pack=0.38,flats.pack=0.05 \
    stages.0.init=rlfn-s-x3/stage-3/average.safetensors \
    seed=10 \
    stages.0.centred=true \
    stages.0.iterations=1600 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 1.0, mse = 10.0 }' \
    stages.0.optimizer.lr=2e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'
average 4 0.5 3

ship 4
