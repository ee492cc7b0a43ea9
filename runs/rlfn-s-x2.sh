#!/usr/bin/env bash
# rlfn-s-x2: from the first stage of rlfn-s-x4, which is made first. 129 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

UNTIL=1 SETS="" bash "$checkout/runs/rlfn-s-x4.sh"

pack hr
# The run was cut at 63% of a cosine over 3,200 iterations. The script anneals to the rate at the cut (0.3 of the
# peak) instead: another curve to the same end.
stage 1 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x4/stage-1/model.safetensors \
    stages.0.iterations=2023 \
    stages.0.optimizer.lr=9e-3 \
    stages.0.schedule.floor=0.3 \
    stages.0.patch=32 \
    stages.0.batch=10 \
    'stages.0.phases=[{ at = 0.79, patch = 40 }]'

# The falling end that stage 1 was cut from. The log does not give Adam's rate; this is the recipe's.
stage 2 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x2/stage-1/model.safetensors \
    stages.0.iterations=320 \
    stages.0.optimizer.lr=2.8e-3 \
    stages.0.patch=40 \
    stages.0.batch=10 \
    'stages.0.phases=[]'

fetch_teachers
stage 3 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x2/stage-2/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x2.pth" \
    stages.0.iterations=489 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=4e-3 \
    stages.0.optimizer.adam_lr=4e-4 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

# The phases were not logged; these meet lr_pixels.
stage 4 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x2/stage-3/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x2.pth" \
    stages.0.iterations=2043 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.patch=40 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.53, patch = 48 }, { at = 0.82, batch = 12 }]'

ship 4
