#!/usr/bin/env bash
# rlfn-xs-photo-x2: from the second stage of rlfn-xs-x2, which is made first. 44 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=2 bash "$checkout/runs/rlfn-xs-x2.sh"

pack hr
flats
# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xs-photo-x2 hr.pack \
    stages.0.init=rlfn-xs-x2/stage-2/model.safetensors \
    stages.0.iterations=679 \
    'stages.0.phases=[{ at = 0.589, batch = 16 }]'

# 825 pictures. On two cores.
stage 2 weights-xs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xs-photo-x2/stage-1/model.safetensors \
    stages.0.iterations=3000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 3 weights-xs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xs-photo-x2/stage-2/model.safetensors \
    stages.0.iterations=3600 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.4, jpeg = 0.75, jpeg_quality = [40, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=8e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 4 weights-xs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xs-photo-x2/stage-3/model.safetensors \
    stages.0.iterations=2600 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.25, jpeg = 0.75, jpeg_quality = [60, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=8e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# For the int8 file alone: quantization-aware training of the fused network.
stage 5 weights-xs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xs-photo-x2/stage-4/model.safetensors \
    variant=rlfn-xs \
    stages.0.int8=true \
    stages.0.iterations=800 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.25, jpeg = 0.75, jpeg_quality = [60, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=2e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=12 \
    'stages.0.phases=[]'

ship 4 5
