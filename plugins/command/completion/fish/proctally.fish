# SPDX-License-Identifier: MIT
# Completion of proctally for fish: verbs and flags are what the command itself lists.

function __proctally_verbs
    proctally help 2>/dev/null | string replace -rf '^  proctally ([a-z]+) +(.*)' '$1\t$2'
end

function __proctally_verb
    set -l verbs (__proctally_verbs | string replace -r '\t.*' '')
    for word in (commandline -opc)[2..-1]
        if contains -- $word $verbs
            echo $word
            return 0
        end
    end
    return 1
end

function __proctally_flags
    proctally help (__proctally_verb) 2>/dev/null | string replace -rf '^  (--?[a-z][a-z-]*).*' '$1'
end

complete -c proctally -n 'not __proctally_verb' -f -a '(__proctally_verbs)'
complete -c proctally -n __proctally_verb -a '(string match -q -- "-*" (commandline -ct); and __proctally_flags)'
complete -c proctally -n 'contains -- (__proctally_verb) attach explain files' -f -a '(__fish_complete_pids)'
complete -c proctally -n 'test (__proctally_verb) = run' -a '(__fish_complete_command)'
complete -c proctally -n 'test (__proctally_verb) = config' -f -a check
