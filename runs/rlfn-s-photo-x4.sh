#!/usr/bin/env bash
# rlfn-s-photo-x4: from rlfn-s-x4, which is made first. 72 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=3 bash "$checkout/runs/rlfn-s-x4.sh"

pack hr
teach 4
flats
stage 1 weights-s-photo-x4 hr.pack=0.66,taught-x4.pack=0.28,flats.pack=0.06 \
    stages.0.init=rlfn-s-x4/stage-3/model.safetensors \
    stages.0.iterations=9600 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [24, 88], smoothed = 0.2 }' \
    stages.0.optimizer.lr=5e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 1
