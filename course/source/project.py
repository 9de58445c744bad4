# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Project: one sentence that somebody could believe or not, tested
#
# Two or three people, ten to twelve hours, four pages and this notebook.
#
# 1. **Claim.** One sentence about explanations that could be false. Some to begin with: another ranking of your own is
#    better than random gates; a paraphrase does not move the map; the gate survives another answer; a contrast helps
#    with yes/no questions; five training runs agree where one does not.
# 2. **Pre-registration.** Fill the plan below. Hand in the code that it prints *before* you look at a test scene.
# 3. **Run** it on the scenes that you get afterwards, and report the result whichever way it comes out.
# 4. **One limitation**, shown by changing an image and asking the model again.

# %%
plan = {
    "claim": "",  # one sentence
    "pairs": "",  # which scenes and questions, which answer is explained
    "choices made on": "",  # the scenes on which n, ranking, … are chosen
    "tested on": "",  # other scenes
    "n": "",  # fixed now, or the rule by which it is chosen
    "measure": "",  # and what a map gets that ignores the question
    "control": "",  # at least random gates of the same size: how many?
    "we give the claim up if": "",
}

# %% [markdown]
# The next cell looks at the form alone: is everything filled, and are the tested scenes others than those of the
# choices? Then it prints a code for your plan. Whoever changes a letter of the plan gets another code.

# %%
import hashlib
import json

empty = [name for name, text in plan.items() if len(str(text).split()) < 2]
if empty:
    print("Not filled yet (at least two words each):", ", ".join(empty))
elif plan["choices made on"] == plan["tested on"]:
    print("Choose on other scenes than those that you test on.")
else:
    written = json.dumps(plan, sort_keys=True, ensure_ascii=False)
    print("Hand this in:", hashlib.sha256(written.encode()).hexdigest())

# %% [markdown]
# ## Result
#
# Numbers are computed here, with an interval by scene (homework 3, question 13), and beside those of the control.
