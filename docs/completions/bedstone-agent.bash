# Completions of bedstone-agent for bash: source this, or put it into /usr/share/bash-completion/completions/bedstone-agent.
_bedstone_agent() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
    install | status | confirm | rollback | repair | watch | daemon | boot)
      command=$word
      break
      ;;
    esac
  done
  case "$previous" in
  --config | --key | --socket)
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
    ;;
  --reason) return ;;
  esac
  local words="--json --config --help --version"
  case "$command" in
  "") words+=" install status confirm rollback repair watch daemon boot" ;;
  install) words+=" --reboot --allow-downgrade --reinstall --key" ;;
  rollback) words+=" --reason" ;;
  watch | daemon) words+=" --socket" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  if [ "$command" = install ] && [[ $current != -* ]]; then
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -o filenames -F _bedstone_agent bedstone-agent
