"""The paper's claims, quoted word for word, so that a ledger can compare our measurements with them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One claim of the paper's text.

    ``quote`` is verbatim but for line breaks, and may begin or end inside a sentence. ``figures`` and
    ``tables`` are those that the quote or the passage around it rests on, ranges written out.
    """

    id: str
    quote: str
    section: str
    figures: tuple[int, ...] = ()
    tables: tuple[int, ...] = ()


CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        Claim(
            "same-answer-similar-maps",
            "We see that the heat maps generated are very similar when the answer is the same.",
            "1",
            figures=(1, 2, 3),
        ),
        Claim(
            "pythia-too",
            "Thus, we validated the problem with the Grad-CAM visualizations generated for the Pythia model as well.",
            "3",
            figures=(*range(7, 10), *range(13, 20)),
        ),
        Claim(
            "activations-differ-by-question",
            "different questions having the same answer: we saw that the activations are different, and their signs "
            "also differ quite a bit",
            "3.1",
        ),
        Claim(
            "activations-same-by-answer",
            "different answers for the same question: we saw that the activations are same",
            "3.1",
        ),
        Claim(
            "other-answer-other-map",
            "maps are similar, we see that when the answer is different, as in Figure 19, the Grad-CAM map differs.",
            "3.1",
            figures=(17, 18, 19),
        ),
        Claim(
            "pythia-localises-less",
            "Grad-CAM when applied on the Pythia VQA model does not seem to be as good at localizing regions as "
            "Grad-CAM when applied on the Deeper LSTM + normalized CNN model.",
            "3.1",
            figures=(8, 11, 17, 21),
        ),
        Claim(
            "other-question-other-indices",
            r"We see that top 10 indices of $\frac{\partial A}{\partial q}$ for different questions (taking the same "
            "image and different images) is different",
            "3.2",
            figures=(10, 20),
            tables=(3, 4),
        ),
        Claim(
            "same-question-similar-indices",
            "This shows that the top 10 neurons which are sensitive to 'What is the man doing?' across images are "
            "similar.",
            "3.2",
            figures=(20, 23, 24, 25),
            tables=(1, 2),
        ),
        Claim(
            "bathroom-best-at-25",
            "For this example, we see n=25 shows the best visualization, where the sink and the towels are localized.",
            "3.3",
            figures=tuple(range(27, 78)),
        ),
        Claim(
            "sink-lost-at-200",
            "the visualization changes so drastically at top 200 for the question 'What is the color of the sink?', "
            "the sink loses the attention which is back again at top 300.",
            "3.3",
            figures=(58, 61),
        ),
        Claim(
            "park-better-at-200",
            "better localization at different values of n such as n=200 for the trees and grass example "
            "(Figures 81-83)",
            "3.3",
            figures=(81, 82, 83),
        ),
        Claim(
            "toilets-better-at-400",
            "n=400 for the wall and toilets example (Figures 87-89).",
            "3.3",
            figures=(87, 88, 89),
        ),
        Claim(
            "spearman-high",
            r"the spearman rank correlation between $\frac{\partial A}{\partial q}$ vectors are quite high as shown in "
            "Tables 5 and 6.",
            "3.3",
            figures=(10, 27, 78, 84, 93),
            tables=(5, 6),
        ),
        Claim(
            "looks-at-different-regions",
            "Our visualizations show that the model actually does look at different regions in the image depending on "
            "the question, unlike the original Grad-CAM visualizations where it showed the model looking at the same "
            "region to produce the same answer despite the question being different.",
            "4",
        ),
        Claim(
            "not-yet-generic",
            "Although we have not yet arrived at a solution which is able to generalize across examples, we have "
            "identified the direction to get there.",
            "4",
        ),
        Claim(
            "good-around-25",
            "In some cases we see the localization around top 25 is good (Figures 36-38, 90-92, 96-98).",
            "5",
            figures=(36, 37, 38, 90, 91, 92, 96, 97, 98),
        ),
        Claim(
            "color-over-object",
            "For others, at smaller values of n, 'color' seems take more importance than the object under "
            "consideration as seen in Figure 101, the color white has more importance than the object wall.",
            "5",
            figures=(101,),
        ),
    )
}
"""The claims by id, in the order of the text."""
