# SPDX-License-Identifier: MIT
"""What a command, this process, or each group of processes on this host has used."""

# ---- analysis, files and plots: begin (these modules come with a commit of their own) ----
# ---- analysis, files and plots: end ----
