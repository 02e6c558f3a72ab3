#!/usr/bin/env bash
# Starts one role of Flink in the foreground. The first argument names the role:
#
#   jobmanager | taskmanager | standalone-job   that role; further arguments are handed on to its script
#   help                                        this text
#   anything else                               is run as it stands
#
# Settings are those in FLINK_CONF_DIR (/opt/flink/conf), which may be read-only. What these variables say is put above
# them, in a private copy of that folder:
#
#   FLINK_PROPERTIES                     lines of "key: value"
#   JOB_MANAGER_RPC_ADDRESS              jobmanager.rpc.address
#   TASK_MANAGER_NUMBER_OF_TASK_SLOTS    taskmanager.numberOfTaskSlots
set -euo pipefail

: "${FLINK_HOME:=/opt/flink}"
conf_dir=${FLINK_CONF_DIR:-$FLINK_HOME/conf}

fail() {
    echo "docker-entrypoint.sh: $*" >&2
    exit 1
}

# The settings file: flink-conf.yaml, which Flink prefers as long as it knows it, else config.yaml.
settings_file() {
    local name
    for name in flink-conf.yaml config.yaml; do
        if [[ -r $1/$name ]]; then
            echo "$1/$name"
            return
        fi
    done
    fail "there is neither flink-conf.yaml nor config.yaml in $1"
}

# set_option KEY VALUE: a key that is there is replaced, since one that occurs twice is an error to the YAML parser.
set_option() {
    local pattern
    pattern=$(sed 's/[][\.*^$/]/\\&/g' <<< "$1")
    sed -i "/^[[:space:]]*${pattern}[[:space:]]*:/d" "$settings"
    printf '%s: %s\n' "$1" "$2" >> "$settings"
}

configure() {
    local line key value
    settings=$(settings_file "$conf_dir")
    local address=${JOB_MANAGER_RPC_ADDRESS:-}
    if [[ -z $address ]] && ! grep -qE '^[[:space:]]*(jobmanager\.rpc\.address|jobmanager:)' "$settings" \
        && [[ ${FLINK_PROPERTIES:-} != *jobmanager.rpc.address* ]]; then
        address=$(hostname)
    fi
    if [[ -n $address || -n ${TASK_MANAGER_NUMBER_OF_TASK_SLOTS:-} || -n ${FLINK_PROPERTIES:-} ]]; then
        local copy
        copy=$(mktemp -d /tmp/flink-conf.XXXXXX)
        cp -rL "$conf_dir"/* "$copy"/
        chmod -R u+w "$copy"
        export FLINK_CONF_DIR=$copy
        settings=$(settings_file "$copy")
        # The last line may lack its end, and what is appended must not become part of it.
        [[ -z $(tail -c 1 "$settings") ]] || echo >> "$settings"
    fi
    if [[ -n $address ]]; then
        set_option jobmanager.rpc.address "$address"
    fi
    if [[ -n ${TASK_MANAGER_NUMBER_OF_TASK_SLOTS:-} ]]; then
        set_option taskmanager.numberOfTaskSlots "$TASK_MANAGER_NUMBER_OF_TASK_SLOTS"
    fi
    while IFS= read -r line; do
        line=${line#"${line%%[![:space:]]*}"}
        [[ -z $line || $line == '#'* ]] && continue
        [[ $line == *:* ]] || fail "FLINK_PROPERTIES: not a \"key: value\" line: $line"
        key=${line%%:*}
        value=${line#*:}
        set_option "$key" "${value#"${value%%[![:space:]]*}"}"
    done <<< "${FLINK_PROPERTIES:-}"
}

role=${1:-help}
case $role in
    jobmanager | taskmanager | standalone-job)
        shift
        configure
        exec "$FLINK_HOME/bin/$role.sh" start-foreground "$@"
        ;;
    help)
        sed -n '2,/^set /{/^#/{s/^# \{0,1\}//;p;};}' "$0"
        ;;
    *)
        exec "$@"
        ;;
esac
