# What the scripts in this folder share. Each makes one packaged model, stage by stage, in the folder where it is run:
#
#     mkdir work && cd work && PICTURES=~/photos bash ../runs/rlfn-s-x4.sh
#
# Run it again to go on: what is done is not done twice. The stages are those of the packaged weights, as far as they
# are known; `chain` in src/rlfn/models/weights/manifest.json says the same as data, with a note where something is not.
#
#   PICTURES  a folder of high-resolution pictures; every tenth is kept for validation
#   TEACHERS  the folder of the official weights; without it they are downloaded into teachers/
#   SETS      the folder of Set5, Set14 and B100; if it is given, the model is scored and put into this checkout's package
#   STEPS     so many steps in each stage in place of the real number, to try a script
#   UNTIL     the last stage to train
#   PYTHON    the Python that has rlfn[train,int8]; default: python
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model=$(basename "$0" .sh)
rlfn() { "${PYTHON:-python}" -m rlfn "$@"; }

# pictures/train and pictures/held-out: links to the pictures.
split() {
    [ ! -d pictures ] || return 0
    local number=0 half file
    rm -rf pictures.part
    mkdir -p pictures.part/train pictures.part/held-out
    while IFS= read -r -d '' file; do
        half=train
        [ $((number % 10)) -ne 0 ] || half=held-out
        ln -s "$file" "pictures.part/$half/$(printf %05d "$number").${file##*.}"
        number=$((number + 1))
    done < <(find -L "$(realpath "${PICTURES:?Set PICTURES to a folder of high-resolution pictures}")" -type f -print0 | sort -z)
    mv pictures.part pictures
}

# hr.pack (nine tenths of the pictures) or all.pack: the pictures and their bicubic reductions.
pack() {
    split
    case $1 in
        hr) rlfn data pack pictures/train --scale 2 3 4 --skip -o hr.pack ;;
        all) rlfn data pack pictures --scale 4 --skip -o all.pack ;;
    esac
}

# $teachers: the folder of the official weights.
fetch_teachers() {
    teachers=${TEACHERS:-teachers}
    [ -n "${TEACHERS:-}" ] || [ -e teachers/rlfn_s_x4.pth ] || rlfn data get rlfn-weights -o teachers
}

# taught-xN.pack: the pictures' reductions by N with the outputs of the official RLFN-S x4 (at x2 of the official RLFN x2)
# in place of the pictures.
teach() {
    local scale=$1 teacher=rlfn_s_x4
    [ "$scale" -ne 2 ] || teacher=rlfn_x2
    split
    fetch_teachers
    rlfn data degrade pictures/train --scale "$scale" -o "lr-x$scale"
    rlfn upscale "lr-x$scale" --scale "$scale" --model "$teachers/$teacher.pth" -o "taught-x$scale"
    rlfn data pack "taught-x$scale" --lr-dir "lr-x$scale" --scale "$scale" --skip -o "taught-x$scale.pack"
}

# flats.pack: flat colours and gradients.
flats() {
    if [ ! -d flats ]; then
        "${PYTHON:-python}" "$checkout/scripts/flat_pictures.py" flats.part
        mv flats.part flats
    fi
    rlfn data pack flats --scale 2 3 4 --skip -o flats.pack
}

# stage NUMBER RECIPE PACK SETTING...: one run of 'rlfn train', into MODEL/stage-NUMBER. PACK is one, or several with
# the share of samples from each: PACK=SHARE,PACK=SHARE.
stage() {
    local number=$1 recipe=$2 data=$3 folder=$model/stage-$1 settings=() setting
    shift 3
    [ "$number" -le "${UNTIL:-$number}" ] || exit 0
    [ ! -e "$folder/model.safetensors" ] || return 0
    if [ -d "$folder/checkpoints" ]; then
        rlfn train --resume "$folder"
        return
    fi
    for setting in data.held_out=0.0 validation.sets=pictures/held-out "$@" ${STEPS:+"stages.0.iterations=$STEPS"}; do
        settings+=(--set "$setting")
    done
    case $data in
        *=*)
            data=$(sed -E 's/([^,=]+)=([^,]+)/{ path = "\1", weight = \2 }/g' <<< "$data")
            rlfn train "$recipe" --set "data.train=[$data]" -o "$folder" "${settings[@]}"
            ;;
        *) rlfn train "$recipe" --data "$data" -o "$folder" "${settings[@]}" ;;
    esac
}

# result NUMBER: the file with that stage's average if there is one, else with its weights.
result() {
    local folder=$model/stage-$1
    if [ -e "$folder/average.safetensors" ]; then echo "$folder/average.safetensors"; else echo "$folder/model.safetensors"; fi
}

# average NUMBER SHARE EARLIER: MODEL/stage-NUMBER/average.safetensors, this share of that stage's weights and the rest of
# an earlier stage's result.
average() {
    "${PYTHON:-python}" "$checkout/scripts/average.py" "$model/stage-$1/model.safetensors" "$2" "$(result "$3")" \
        -o "$model/stage-$1/average.safetensors"
}

# ship NUMBER [INT8]: score that stage's result and put it into the package, with the int8 file of another one.
ship() {
    [ -n "${SETS:-}" ] || return 0
    "${PYTHON:-python}" "$checkout/scripts/add_model.py" "$(result "$1")" \
        --family "${model%-x*}" --sets-dir "$SETS" ${2:+--int8-weights "$model/stage-$2/model.safetensors"}
}
