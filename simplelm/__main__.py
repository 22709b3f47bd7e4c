"""`python -m simplelm`, which `accelerate launch -m simplelm` needs"""

from simplelm.cli import main

main()
