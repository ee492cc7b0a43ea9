#!/usr/bin/env bash
# rlfn-xs-photo-x4: from rlfn-xs-x4, which is made first. 30 minutes of steps on one CPU core after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL="" bash "$checkout/runs/rlfn-xs-x4.sh"

pack hr
teach 4
flats
# It starts from the fused network.
stage 1 weights-xs-photo-x4 hr.pack=0.54,taught-x4.pack=0.4,flats.pack=0.06 \
    stages.0.init=rlfn-xs-x4/stage-2/model.safetensors \
    stages.0.centred=true \
    stages.0.iterations=9600 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.42, jpeg = 0.75, jpeg_quality = [22, 88], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 1
