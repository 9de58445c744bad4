#!/bin/sh
# Measure protocol 2 with a SLURM array: sbatch tools/slurm_graded.sh; all tasks see one folder of runs and of chunks.
# Without SLURM: torchrun --nproc-per-node 4 --no-python python -m qgc measure graded --split test --workers 1
#SBATCH --array=0-7
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=01:00:00
exec python -m qgc measure graded --split test --runs "${QGC_RUNS:-runs}" --workers 2
