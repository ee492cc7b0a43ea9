#!/usr/bin/env bash
# rlfn-s-x2: from the eighth stage of what rlfn-s-x4 was before, which is made first. Three and a half hours of steps
# after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL="" bash "$checkout/runs/rlfn-s-x4-before.sh"

pack hr
fetch_teachers
# 920 pictures in place of 613. The lengths were set in time, on a share of one busy core.
stage 1 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x4-before/stage-8/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x2.pth" \
    stages.0.iterations=907 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

stage 2 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x2/stage-1/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x2.pth" \
    stages.0.iterations=2034 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

# 825 pictures in place of 613. Its length was set in time, on two cores.
stage 3 weights-s-x2 hr.pack \
    stages.0.init=rlfn-s-x2/stage-2/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x2.pth" \
    stages.0.iterations=3950 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7, mse = 5.0 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'

ship 3
