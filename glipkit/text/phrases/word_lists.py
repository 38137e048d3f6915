"""Word lists of the noun phrase chunker: the closed classes of English, and words of captions."""
from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SINGULAR_DETERMINERS = _words('a an this that each every another one')
DETERMINERS = SINGULAR_DETERMINERS | _words(
    'the these those some any no both all several many few much most more half various multiple '
    'numerous my your his her its our their')
# With possessives, which stand in the same place, but not 'her', which also stands alone: 'her on
# a bus'.
ARTICLES = _words('a an the my your his its our their')
NUMBERS = _words(
    'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen '
    'sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety '
    'hundred thousand million dozen zero')
# With a determiner or alone before 'of': 'a couple of dogs' counts dogs, and 'a group of people' is
# what Flickr30k Entities boxes as one phrase.
QUANTITIES = _words(
    'couple lot lots plenty dozens hundreds thousands number bunch pair pairs group groups crowd '
    'herd herds flock flocks swarm pack pile piles row rows stack stacks half')

PREPOSITIONS = _words(
    'in on at near by with without of under underneath over above below beneath behind beside '
    'besides between among amid amongst through throughout across along alongside around '
    'against inside outside into onto upon from toward towards up down off out past during before '
    'after until till about for like via per within beyond despite except than as aboard atop '
    'nearby next opposite adjacent ahead')
PRONOUNS = _words(
    'i me you he him she it we us they them who whom whose which what myself yourself himself '
    'herself itself ourselves themselves someone somebody something anyone anybody anything '
    'everyone everybody everything nobody nothing there here mine yours hers ours theirs where '
    'when why how')
COPULAS = _words(
    "is are was were be been being am isn't aren't wasn't weren't look looks looked seem seems "
    'seemed appear appears appeared become becomes became remain remains feels stays')
MODALS = _words(
    "can could will would shall should may might must do does did don't doesn't didn't can't "
    "cannot couldn't won't wouldn't shouldn't")
FUNCTION_WORDS = _words(
    "while because if although though so then whether since unless have has had having not n't "
    'please yes oh etc')
CONJUNCTIONS = _words('and or nor but & plus')
ADVERBS = _words(
    'very really quite rather too also just only even still already almost nearly always never '
    'often sometimes soon now today again once twice perhaps maybe extremely slightly together '
    'apart away far alone indoors outdoors upstairs downstairs overhead sideways upright downhill '
    'uphill forward forwards backward backwards well instead else ever yet abroad everywhere '
    'somewhere nowhere anywhere aside asleep awake afloat fast')
# Their full stop ends no phrase: 'St. Paul'.
ABBREVIATIONS = _words('st mr mrs ms dr jr sr mt')
# Words in '-ly' that are no adverbs: 'friendly' describes, 'butterfly' is a thing.
LY_ADJECTIVES = _words(
    'friendly lovely ugly early curly woolly silly lonely elderly daily lively hilly bubbly '
    'wrinkly sparkly deadly holy oily smelly chilly burly frilly')
LY_NOUNS = _words(
    'family butterfly dragonfly ladyfly belly jelly lily bully assembly ally supply reply '
    'doily trolly dolly holly gully anomaly monopoly panoply firefly housefly')

ADJECTIVES = _words(
    # colours
    'red green blue yellow purple pink black white brown gray grey beige tan maroon teal cyan '
    'magenta turquoise violet crimson scarlet navy blonde blond brunette colorful colourful '
    'multicolored multicoloured bright dark pale '
    # size, age, number, shape
    'big small large little tiny huge giant enormous massive gigantic tall short long wide narrow '
    'thin thick fat slim old young new ancient modern vintage antique middle-aged other same such '
    'different similar single double triple whole entire full empty high low deep shallow round '
    'circular rectangular triangular oval spherical flat straight steep sharp pointy hollow '
    'first second third fourth fifth last main own next-door several '
    # surface, state, material
    'wooden woolen woollen golden striped stripy dotted spotted checkered checked plaid plain '
    'solid soft hard rough smooth shiny glossy matte wet dry dirty clean fresh raw ripe rotten '
    'broken torn worn frozen woven hidden stolen fallen open closed bare naked wild tame hot cold '
    'warm cool busy calm quiet loud heavy fluffy furry fuzzy shaggy hairy woody happy sad angry '
    'sleepy hungry funny cute pretty beautiful handsome fancy good bad nice great strange weird '
    'odd rare common simple complex bald bearded dusty rusty muddy sandy rocky grassy leafy snowy '
    'icy rainy sunny cloudy foggy misty stormy windy messy tidy bushy wavy baggy bulky chubby '
    'skinny sturdy crispy creamy juicy spicy tasty healthy sick dead alive blind deaf male female '
    'left-handed urban rural public private upper lower inner outer far close rear electric '
    'lush expensive rich poor proper free safe loose tight blurry hazy dim faint sweet sour '
    'bitter cheap '
    'american asian african european chinese japanese indian french british english italian '
    'german mexican spanish russian greek korean')
# Words that describe before a noun and are things elsewhere: 'an orange cat', 'an orange'.
EITHER = _words(
    'orange gold silver bronze metal wood plastic glass leather cotton paper stone brick concrete '
    'steel wool denim rubber cardboard ceramic marble straw bamboo lime olive cream rose lavender '
    'peach light adult human fellow wicker square diamond')
# The colours among them; 'and' also joins them to other colours: 'orange and blue ball'.
THING_COLOURS = _words('orange gold silver')
# Places, not things, unless a determiner or a noun shows the opposite: 'the left shoe'.
PLACES = _words(
    'left right front back top bottom middle center centre side rear background foreground '
    'distance edge corner end north south east west')
PLACE_QUALIFIERS = _words('far very upper lower left right front back top bottom other same near')

ADJECTIVE_ENDINGS = ('ful', 'ous', 'less', 'able', 'ible', 'ish', 'esque')
NOT_ADJECTIVES = _words(
    'table vegetable cable stable timetable fish starfish dish radish jellyfish goldfish swordfish '
    'catfish rubbish polish varnish finish parish mouse house')

ING_NOUNS = _words(
    'building ceiling painting railing clothing awning string ring king wing thing evening morning '
    'wedding swing spring sling lightning pudding dumpling duckling sibling earring stocking '
    'herring icing frosting topping drawing siding lining crossing flooring sapling seedling '
    'duckling stuffing filling bedding viking sterling offspring something writing meeting')
# First and second word of fixed pairs; here the '-ing' word is part of the thing.
ING_PAIRS = {
    'dining': 'table tables room rooms area chair chairs hall set',
    'living': 'room rooms area',
    'swimming': 'pool pools suit trunks',
    'parking': 'lot lots meter meters garage space spaces sign signs spot',
    'shopping': 'cart carts bag bags mall center basket',
    'washing': 'machine machines', 'sewing': 'machine machines', 'vending': 'machine machines',
    'cutting': 'board boards', 'frying': 'pan pans', 'baking': 'sheet pan dish tray',
    'sleeping': 'bag bags', 'running': 'shoe shoes', 'hiking': 'boot boots trail',
    'fishing': 'rod rods pole poles boat boats net nets line', 'walking': 'stick sticks',
    'rocking': 'chair chairs horse', 'mixing': 'bowl bowls', 'serving': 'tray dish plate',
    'racing': 'car cars bike bikes', 'bathing': 'suit suits', 'rolling': 'pin pins',
    'boxing': 'glove gloves ring', 'bowling': 'ball balls alley pin pins',
    'measuring': 'cup cups tape', 'riding': 'boot boots helmet', 'waiting': 'room',
    'steering': 'wheel wheels', 'landing': 'gear strip', 'hearing': 'aid',
}
# Before 'can' these make it a thing.
CANNED = _words('trash garbage soda beer cola tin spray paint watering metal aluminum milk oil gas '
                'recycling')
# After a noun these still belong to the phrase: 'a heart shaped box'.
SHAPED = _words('colored coloured shaped sized patterned flavored flavoured themed')
ED_NOUNS = _words('bed sled shed seed weed steed breed reed speed bleed moped bobsled flatbed '
                  'daybed seabed riverbed deed greed waterbed seaweed tweed hundred')

SINGULAR_S = _words(
    'gas lens tennis canvas news christmas iris atlas trellis pancreas alias bias chaos cosmos '
    'pelvis oasis basis axis debris chassis metropolis')
IRREGULAR_PLURALS = _words(
    'people children feet teeth geese mice sheep police cattle oxen lice dice folk fish deer')

_VERBS = _words(
    'accept add aim appear applaud approach argue arrange ask attach attempt bake bark bathe beg '
    'bend bite blow board bounce bow break bring browse brush build burn bury buy call carry carve '
    'cast catch celebrate change chase chat check cheer chew chop clap climb cling close collect '
    'come compete consume contain cook cover crawl cross crouch cut dance decorate deliver '
    'describe dig dine display dive do drag draw dribble drift drink drive drop eat embrace enjoy '
    'enter examine exit explain fall feature feed fetch fight fill find finish fix float fly '
    'follow gallop gather gaze get give glance glide go grab graze greet grin grind grip grow '
    'hang harvest hide hike hit hold hop hover hug include jog join juggle jump keep kick kiss '
    'kneel knit lead lean leap learn lick lie lift listen load look lounge make march meet mount '
    'move nap observe occupy offer open operate overlook paddle paint pass pause pay peek peel '
    'peer perch perform pet pick pilot play plow point pose pour practice prepare present push '
    'put race raise reach read relax remove repair rest ride rise roll row run sail say scratch '
    'see sell serve share shine shoot shop show sing sip sit skate ski sleep slice slide smell '
    'smile smoke sniff sort speak spin splash spray spread stand stare stay steer stir stretch '
    'stroll stuff surf surround sweep swim swing take talk taste teach tend think throw tie toss '
    'touch tow travel try turn use visit wait wake walk wander want wash watch wave wear weigh '
    'wipe work wrap write yawn hurdle balance dress bat stop mend reflect shake pull speed share '
    'bloom pile slump wade wrestle polish repaint sweat shave cuddle sketch scoop squat lurk '
    'tumble')
# As '-s' forms these are more often nouns than verbs.
_THINGS_IN_S = _words('cook bat pet slice paint row display board pilot plow dress stuff cast load '
                      'check cover bow exit nap shop present')
PAST_VERBS = _words(
    'held wore rode sat stood ran ate drank drove flew lay lain caught threw took taken gave given '
    'made got went gone came saw seen hung led built sold fed fell kept swam sang slept spoke '
    'swung knelt leapt bent blew brought bought chose drew driven eaten flown found fought grew '
    'grown hid laid met paid rang rose shone shot slid spun spread stuck swept taught told woke '
    'worn written ridden thrown drawn shown put set cut hit')


def _third_person(verb: str) -> str:
    if verb.endswith(('s', 'x', 'z', 'ch', 'sh', 'o')):
        return verb + 'es'
    if verb.endswith('y') and verb[-2] not in 'aeiou':
        return verb[:-1] + 'ies'
    return verb + 's'


def _past(verb: str) -> frozenset[str]:
    """Regular past forms, with and without a doubled consonant."""
    if verb.endswith('e'):
        return frozenset({verb + 'd'})
    if verb.endswith('y') and verb[-2] not in 'aeiou':
        return frozenset({verb[:-1] + 'ied'})
    return frozenset({verb + 'ed', verb + verb[-1] + 'ed'})


BASE_VERBS = _VERBS
THIRD_PERSON = frozenset(map(_third_person, _VERBS - _THINGS_IN_S))
REGULAR_PAST = frozenset().union(*map(_past, _VERBS))
