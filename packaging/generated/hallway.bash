# bash completion of hallway, made by packaging/manual.rs
# shellcheck shell=bash disable=SC2207
_hallway() {
    case $3 in
    --listen) COMPREPLY=() ;;
    --origin) COMPREPLY=() ;;
    --host) COMPREPLY=() ;;
    --title) COMPREPLY=() ;;
    --welcome) COMPREPLY=($(compgen -f -- "$2")) ;;
    --history) COMPREPLY=() ;;
    --text-bytes) COMPREPLY=() ;;
    --announce-up-to) COMPREPLY=() ;;
    --memory) COMPREPLY=() ;;
    --rooms-max) COMPREPLY=() ;;
    --max-peers) COMPREPLY=() ;;
    --max-peers-per-ip) COMPREPLY=() ;;
    --joins) COMPREPLY=() ;;
    --queue-frames) COMPREPLY=() ;;
    --queue-bytes) COMPREPLY=() ;;
    --message-bytes) COMPREPLY=() ;;
    --rate) COMPREPLY=() ;;
    --burst) COMPREPLY=() ;;
    --ping) COMPREPLY=() ;;
    --user) COMPREPLY=($(compgen -u -- "$2")) ;;
    --log) COMPREPLY=($(compgen -W "error warn info debug" -- "$2")) ;;
    *) COMPREPLY=($(compgen -W "--listen --origin --host --title --welcome --history --text-bytes --announce-up-to --memory --rooms-max --max-peers --max-peers-per-ip --joins --queue-frames --queue-bytes --message-bytes --rate --burst --ping --user --log --check --help --version" -- "$2")) ;;
    esac
}
complete -F _hallway hallway
