#!/usr/bin/env bash
# rlfn-xxs-photo-x2: the real-time tier. 85 minutes of steps.
source "$(dirname "$0")/lib.sh"

pack hr
flats
# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 1 weights-xxs-photo-x2 hr.pack \
    stages.0.iterations=895 \
    'stages.0.phases=[{ at = 0.591, batch = 16 }]'

# 825 pictures. On two cores.
stage 2 weights-xxs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-1/model.safetensors \
    stages.0.iterations=4000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.25, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1.2e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 3 weights-xxs-photo-x2 hr.pack=0.96,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-2/model.safetensors \
    stages.0.iterations=7000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1.2e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

teach 2
# 825 pictures. On two cores.
stage 4 weights-xxs-photo-x2 taught-x2.pack=0.5,hr.pack=0.46,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-3/model.safetensors \
    stages.0.iterations=14000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.3, blur = 0.2, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1.2e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On two cores.
stage 5 weights-xxs-photo-x2 taught-x2.pack=0.26,hr.pack=0.7,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-4/model.safetensors \
    stages.0.iterations=6000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.25, blur = 0.2, gaussian = 0.6, jpeg = 0.75, jpeg_quality = [45, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=1e-2 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On one core; half of the rates that it began with, by a roll-back to its start.
stage 6 weights-xxs-photo-x2 taught-x2.pack=0.4,hr.pack=0.56,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-5/model.safetensors \
    stages.0.recycle=0.02 \
    stages.0.leak=0.1 \
    stages.0.iterations=14000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.25, blur = 0.2, gaussian = 0.6, jpeg = 0.75, jpeg_quality = [45, 97], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.adam_lr=5e-4 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# 825 pictures. On one core.
stage 7 weights-xxs-photo-x2 taught-x2.pack=0.26,hr.pack=0.7,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-6/model-train.safetensors \
    stages.0.leak=0.1 \
    stages.0.iterations=5000 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.25, blur = 0.2, gaussian = 0.5, jpeg = 0.75, jpeg_quality = [65, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# The next stage starts from the mean.
average 7 0.65 6

# 825 pictures. On one core.
stage 8 weights-xxs-photo-x2 taught-x2.pack=0.2,hr.pack=0.76,flats.pack=0.04 \
    stages.0.init=rlfn-xxs-photo-x2/stage-7/average.safetensors \
    stages.0.leak=0.1 \
    stages.0.iterations=3500 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.2, blur = 0.2, gaussian = 0.35, jpeg = 0.75, jpeg_quality = [70, 98], smoothed = 0.2 }' \
    stages.0.optimizer.lr=5e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# With the mean of stages 6 and 7.
average 8 0.4 7

ship 8
