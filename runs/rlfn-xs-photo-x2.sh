#!/usr/bin/env bash
# rlfn-xs-photo-x2: from rlfn-xs-x2, which is made first. 41 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=6 bash "$checkout/runs/rlfn-xs-x2.sh"

pack hr
flats
teach 2
# 825 pictures. On one core.
stage 1 weights-xs-photo-x2 taught-x2.pack=0.4,hr.pack=0.56,flats.pack=0.04 \
    stages.0.init=rlfn-xs-x2/stage-6/average.safetensors \
    stages.0.recycle=0.02 \
    stages.0.leak=0.1 \
    stages.0.iterations=11000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [40, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 2 weights-xs-photo-x2 taught-x2.pack=0.26,hr.pack=0.7,flats.pack=0.04 \
    stages.0.init=rlfn-xs-photo-x2/stage-1/model-train.safetensors \
    stages.0.leak=0.1 \
    stages.0.iterations=3600 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.25, blur = 0.2, gaussian = 0.5, jpeg = 0.75, jpeg_quality = [60, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# On no kind of picture is the mean the worst of the three.
average 2 0.6 1

ship 2
