# SPDX-License-Identifier: MIT
# The reports of several machines as a table: kernel by test.
/^## Linux / { kernel = $3; sub(/,$/, "", kernel); if (!known[kernel]++) kernels[++count] = kernel }
/^## (ok|FAIL) / {
    if (!column[$3]++)
        names[++columns] = $3
    cell[kernel, $3] = $2
}
END {
    for (i = 1; i <= count; i++)
        if (length(kernels[i]) > width)
            width = length(kernels[i])
    if (!columns)
        exit
    printf "\n%-*s", width, "kernel"
    for (c = 1; c <= columns; c++)
        printf "  %s", names[c]
    for (i = 1; i <= count; i++) {
        printf "\n%-*s", width, kernels[i]
        for (c = 1; c <= columns; c++)
            printf "  %-*s", length(names[c]), (kernels[i], names[c]) in cell ? cell[kernels[i], names[c]] : "-"
    }
    print ""
}
