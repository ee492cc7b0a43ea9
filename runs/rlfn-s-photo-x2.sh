#!/usr/bin/env bash
# rlfn-s-photo-x2: from rlfn-s-x2, which is made first. 49 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL="" bash "$checkout/runs/rlfn-s-x2.sh"

pack hr
flats
# 825 pictures. On two cores.
stage 1 weights-s-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-s-x2/stage-3/model.safetensors \
    stages.0.iterations=1900 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.2, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [26, 96], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 2 weights-s-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-s-photo-x2/stage-1/model.safetensors \
    stages.0.iterations=4000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.2, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [26, 96], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 2
