#!/usr/bin/env bash
# rlfn-s-photo-x2: from the second stage of rlfn-s-photo-x4, which is made first. 30 minutes of steps after that.
source "$(dirname "$0")/lib.sh"

SETS="" UNTIL=2 bash "$checkout/runs/rlfn-s-photo-x4.sh"

pack hr
# 920 pictures in place of 613. Its length was set in time, on a share of one busy core.
stage 1 weights-s-photo-x2 hr.pack \
    stages.0.init=rlfn-s-photo-x4/stage-2/model.safetensors \
    stages.0.iterations=674 \
    stages.0.optimizer.lr=6e-3 \
    stages.0.batch=8 \
    'stages.0.phases=[]' \
    stages.0.loss.l1=0.5 \
    stages.0.loss.mse=5.0

ship 1
