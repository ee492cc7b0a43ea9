#!/usr/bin/env bash
# rlfn-xs-photo-x4: from rlfn-xs-x4, which is made first. 43 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=3 bash "$checkout/runs/rlfn-xs-x4.sh"

pack hr
# 825 pictures. It starts from the fused network. Its length was set in time, on two cores.
stage 1 weights-xs-photo-x4 hr.pack \
    stages.0.init=rlfn-xs-x4/stage-3/model.safetensors \
    stages.0.iterations=4373 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 92], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

teach 4 --self-ensemble
more
flats
# 825 pictures. Its length was set in time, on two cores and beside evaluations.
stage 2 weights-xs-photo-x4 more-x4.pack=0.4,flats.pack=0.04,taught8-x4.pack=0.25,hr.pack=0.35 \
    stages.0.init=rlfn-xs-photo-x4/stage-1/model.safetensors \
    stages.0.iterations=2751 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [24, 88], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 3 weights-xs-photo-x4 more-x4.pack=0.4,flats.pack=0.04,taught8-x4.pack=0.25,hr.pack=0.35 \
    stages.0.init=rlfn-xs-photo-x4/stage-2/model.safetensors \
    stages.0.iterations=4600 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.4, jpeg = 0.75, jpeg_quality = [18, 85], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 3
