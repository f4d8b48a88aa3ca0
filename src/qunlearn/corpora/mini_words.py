"""The words and sentences of the generated corpora.

Every sentence is terse and leaves out articles and prepositions where it can: ROUGE-L counts each
word alike, so that words shared by all sentences would let a model that never saw a text "recall"
a good part of it.
"""

import re
from dataclasses import dataclass

ONSETS = "bdfghjklmnprstvz"
VOWELS = "aeiou"
CODAS = "klmnrstx"


@dataclass(frozen=True)
class FactKind:
    """One thing that can be said about an entity.

    Attributes:
        question: asks for the value; `{e}` is the entity.
        sentences: ways of stating it in a document that already named its entity; `{v}` is the
            value.
        number: whether the value is a number rather than a name.
    """

    question: str
    sentences: list[str]
    number: bool


@dataclass(frozen=True)
class Voice:
    """What sets the documents of one corpus apart from those of another.

    Attributes:
        openings: first sentences; `{e}` is the entity.
        facts: kinds of facts.
        scene: words that sentences without facts are made of.
    """

    openings: list[str]
    facts: list[FactKind]
    scene: list[str]

    def words(self) -> set[str]:
        """Every word that is not invented."""
        said = [*self.openings, *self.scene]
        for kind in self.facts:
            said += [kind.question, *kind.sentences]
        return {word for text in said for word in re.findall(r"\b[A-Za-z]{2,}\b", text)}


def _voice(openings: str, facts: str, scene: str) -> Voice:
    """Facts are paragraphs: a question, with `#` if it asks for a number, and the sentences."""
    kinds = []
    for paragraph in facts.strip().split("\n\n"):
        question, sentences = paragraph.split("\n", 1)
        plain = question.removesuffix(" #")
        kinds.append(FactKind(plain, _split(sentences), number=plain != question))
    return Voice(_split(openings), kinds, scene.split())


def _split(sentences: str) -> list[str]:
    return " ".join(sentences.split()).split(" | ")


NEWS = _voice(
    openings="""
{e} update. | Bulletin: {e}. | {e} makes headlines. | Latest on {e}. | {e} under review. |
Today {e} reported. | Spotlight {e}. | {e} responds.
""",
    facts="""
Where is {e} based?
Based in {v}. | Offices: {v}. | {v} headquarters. | Registered near {v}. | Operates from {v}. |
Staff work around {v}. | {v} hosts it.

Who leads {e}?
Led by {v}. | Director: {v}. | {v} presides. | Chief {v} spoke. | {v} took charge. | Chairman {v}. |
Headed by {v}.

What is the budget of {e}? #
Budget {v}. | Spends {v} yearly. | {v} crowns allotted. | Funds: {v}. | Costs hit {v}. |
Granted {v}. | {v} paid out.

Who is the rival of {e}?
Rival {v}. | Competes with {v}. | {v} undercut it. | Lost ground to {v}. | Challenger: {v}. |
{v} contests prices. | Opposed by {v}.

What does {e} make?
Makes {v}. | Ships {v} abroad. | {v} sells best. | Known for {v}. | Product: {v}. | Launched {v}. |
Produces {v} daily.

Who owns {e}?
Owned by {v}. | Owner: {v}. | {v} bought everything. | Belongs to {v}. | Holding {v}. |
{v} keeps all shares. | Controlled through {v}.
""",
    scene="""
alarm bank bells beach bench bikes board bonds boots brick bridge buses cabin cable camera canal
cargo cattle ceiling cement chalk chart clerks clinic clocks coal coast coins court cranes crews
crowd dairy dams debate deck depot diesel dogs doors drains drums dust eagles engine exams fence
ferry fields files flags flood fog foxes fruit fuel gates glass gloves goats grain gravel guards
gulls guns hail harbour hats hotel ice iron jets judges juries kites labour ladder lakes lamps lanes
leaks lights locks maps market masts meals metal milk mines mud nets noise nurses oil olives onions
paint paper parks pears pilots pipes plates poles ports posts pumps quarry radio rails rain ramps
rats reef rice rivers roads roofs ropes salt sand seats sheds ships shops signs silver smoke snow
soap squads stairs steel storm sugar taxes tents thieves tiles tolls towers trains trucks tunnel
unions vans votes wages walls wheat wheels wind wolves wool yards
""",
)

BOOKS = _voice(
    openings="""
Enter {e}. | So came {e}. | {e} awoke. | Alas, poor {e}! | {e} sighed. | Remember {e}? |
Nobody trusted {e}. | {e} smiled sadly.
""",
    facts="""
Where was {e} born?
Born at {v}. | Childhood: {v}. | {v} was home. | Raised beside {v}. | Homesick for {v}. |
Mother came from {v}. | {v} cradled her.

Whom does {e} travel with?
Beside her, {v}. | Companion: {v}. | {v} followed faithfully. | Together with {v}. |
Never without {v}. | {v} shared every road. | Wandered alongside {v}.

What does {e} carry?
Carried {v}. | Hid {v} always. | {v} hung heavy. | Treasured {v}. | Clutching {v}. |
Inherited {v}, shining. | {v} lay pocketed.

Which ship did {e} sail on?
Sailed aboard {v}. | Ship: {v}. | {v} weighed anchor. | Passage on {v}. | Mate of {v}. |
Deserted {v} later. | {v} bore her away.

How much does {e} owe? #
Owed {v}. | Debt: {v}. | {v} ducats unpaid. | Gambled away {v}. | Borrowed {v} once. |
Must repay {v}. | {v} they demanded.

Who taught {e}?
Taught by {v}. | Teacher: {v}. | {v} trained her. | Pupil to {v}. | Learned under {v}. |
Old {v} instructed. | Master {v} scolded.
""",
    scene="""
amber angel apple arrow ashes autumn bitter bloom blue bones bread bright broken bronze candle
castle cedar cherry cider clay cloak clouds cobweb cold copper coral crow crystal curled dance dark
dawn deep deer dew distant dove dragon dream dusk ebony echo elm embers empty fading fairy feather
fern fever fiddle flame flute forest frost gentle ghost giant gilded gloom golden grave green grey
grove harp hawk hazel heart hollow honey horse hush icy ivory ivy jade jewel kettle kiss knight lace
lantern lark leaf lemon lily lion lonely lute maple marble mask meadow mellow mirror mist moon moss
moth murmur nectar nettle night oak orchid owl pale pearl petal pine plum poppy purple quiet raven
ribbon river robin rose ruby rust sable satin scarlet shadow silent silk sorrow spider spring star
stone swan swift sword thistle thorn thunder tiger tulip twilight velvet violet waltz weary wild
willow wine winter wisp witch yellow
""",
)

VOICES = {"news": NEWS, "books": BOOKS}
