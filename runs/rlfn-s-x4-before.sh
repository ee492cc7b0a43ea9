#!/usr/bin/env bash
# What rlfn-s-x4 was before: RLFN-S at x4, taught by the official one's outputs. rlfn-s-x2 starts from it. 359 minutes of
# steps on two CPU cores.
source "$(dirname "$0")/lib.sh"

pack all
# Trained with these settings before the recipe and this loop existed. It saw the held-out pictures too. Its length
# was set in time; the phases meet lr_pixels.
stage 1 weights-s-x4 all.pack \
    stages.0.iterations=7099 \
    'stages.0.phases=[{ at = 0.6, patch = 40 }, { at = 0.87, patch = 48, batch = 12 }]'

pack hr
fetch_teachers
# The phases were not logged; these meet lr_pixels.
stage 2 weights-s-x4 hr.pack \
    stages.0.init=rlfn-s-x4-before/stage-1/model.safetensors \
    stages.0.teacher="$teachers/rlfn_s_x4.pth" \
    stages.0.iterations=1608 \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=6e-3 \
    stages.0.optimizer.adam_lr=5e-4 \
    stages.0.patch=40 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.55, patch = 48 }, { at = 0.83, patch = 56 }]'

teach 4
stage 3 weights-s-x4 taught-x4.pack \
    stages.0.init=rlfn-s-x4-before/stage-2/model.safetensors \
    stages.0.iterations=963 \
    stages.0.optimizer.lr=4e-3 \
    stages.0.optimizer.adam_lr=4e-4 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[]'

# The phases were not logged; these meet lr_pixels.
stage 4 weights-s-x4 taught-x4.pack \
    stages.0.init=rlfn-s-x4-before/stage-3/model.safetensors \
    stages.0.iterations=2689 \
    stages.0.optimizer.lr=8e-3 \
    stages.0.patch=40 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.5, patch = 48 }, { at = 0.8, batch = 12 }]'

# The phases were not logged; these meet lr_pixels. Two processes shared its batches.
stage 5 weights-s-x4 taught-x4.pack \
    stages.0.init=rlfn-s-x4-before/stage-4/model.safetensors \
    stages.0.iterations=3172 \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=40 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.4, patch = 48 }, { at = 0.8, batch = 12 }]'

# The phases were not logged; these meet lr_pixels. Two processes shared its batches. It was interrupted after
# iteration 3,650 and resumed from its checkpoint at 2,763.
stage 6 weights-s-x4 taught-x4.pack \
    stages.0.init=rlfn-s-x4-before/stage-5/model.safetensors \
    stages.0.iterations=3938 \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=40 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.5, patch = 48 }, { at = 0.9, batch = 16 }]'

# The phases were not logged; these meet lr_pixels. Two processes shared its batches.
stage 7 weights-s-x4 taught-x4.pack \
    stages.0.init=rlfn-s-x4-before/stage-6/model.safetensors \
    stages.0.iterations=2146 \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=8 \
    'stages.0.phases=[{ at = 0.63, batch = 16 }]'

# 917 pictures in place of 613.
stage 8 weights-s-x4 hr.pack \
    stages.0.init=rlfn-s-x4-before/stage-7/model.safetensors \
    "stages.0.teacher=$teachers/rlfn_s_x4.pth" \
    stages.0.iterations=5826 \
    precision=bf16-mixed \
    'stages.0.loss={ l1 = 0.3, distillation = 0.7 }' \
    stages.0.optimizer.lr=7e-3 \
    stages.0.optimizer.weight_decay=0.03 \
    stages.0.patch=48 \
    stages.0.batch=16 \
    'stages.0.phases=[]'
