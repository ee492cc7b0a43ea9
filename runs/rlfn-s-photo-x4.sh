#!/usr/bin/env bash
# rlfn-s-photo-x4: from stage 7 of rlfn-s-x4, which is made first. 234 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=7 bash "$checkout/runs/rlfn-s-x4.sh"

pack hr
# Its length was set in time; the phases meet lr_pixels.
stage 1 weights-s-photo-x4 hr.pack \
    stages.0.init=rlfn-s-x4/stage-7/model.safetensors \
    stages.0.iterations=1991 \
    precision=bf16-mixed \
    'data.degradation_settings={ clean = 0.0, blur = 0.6, blur_uneven = 0.0, kernels = ["bicubic", "area", "bilinear"], poisson = 0.3, gaussian_sigma = [0.5, 6.0], smoothed = 0.0, jpeg = 0.75, jpeg_quality = [30, 95], jpeg_again = 0.0, webp = 0.0 }' \
    stages.0.patch=32 \
    stages.0.batch=10 \
    'stages.0.phases=[{ at = 0.58, patch = 40 }, { at = 0.86, patch = 48, batch = 12 }]'

# 920 pictures in place of 613. Its length was set in time; the phases meet lr_pixels.
stage 2 weights-s-photo-x4 hr.pack \
    stages.0.init=rlfn-s-photo-x4/stage-1/model.safetensors \
    stages.0.iterations=866 \
    stages.0.optimizer.lr=4e-3 \
    'stages.0.phases=[{ at = 0.654, batch = 12 }]'

# The same pictures, harder, and with a squared error beside L1. Its length was set in time; the phases meet lr_pixels.
stage 3 weights-s-photo-x4 hr.pack \
    stages.0.init=rlfn-s-photo-x4/stage-2/model.safetensors \
    stages.0.iterations=1890 \
    stages.0.optimizer.lr=5e-3 \
    stages.0.loss.l1=0.5 \
    stages.0.loss.mse=5.0 \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 92], smoothed = 0.2 }' \
    'stages.0.phases=[{ at = 0.763, batch = 12 }]'

# 825 pictures. Its length was set in time, on two cores.
stage 4 weights-s-photo-x4 hr.pack \
    stages.0.init=rlfn-s-photo-x4/stage-3/model.safetensors \
    stages.0.iterations=3746 \
    stages.0.loss.l1=0.5 \
    stages.0.loss.mse=8.0 \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [28, 92], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

# Stage 4 alone shifts pure magenta and blue by up to 5 levels.
average 4 0.7 3
teach 4 --self-ensemble
more
flats
# 825 pictures. Its length was set in time, on two cores.
stage 5 weights-s-photo-x4 more-x4.pack=0.4,flats.pack=0.04,taught8-x4.pack=0.25,hr.pack=0.35 \
    stages.0.init=rlfn-s-photo-x4/stage-4/average.safetensors \
    stages.0.iterations=3568 \
    'stages.0.loss={ l1 = 0.5, mse = 8.0 }' \
    'data.degradation_settings={ clean = 0.1, blur = 0.25, gaussian = 0.45, jpeg = 0.75, jpeg_quality = [24, 88], smoothed = 0.2 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 5
