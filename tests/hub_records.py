"""Records of our own in the fields that each benchmark has on the Hub, five a layout: three to ask, two for examples."""


def pairs(first, second, rows, **more):
    return [{first: a, second: b, "label": label, "idx": i, **more} for i, (a, b, label) in enumerate(rows)]


def arc(rows):
    return [dict(id=f"toy_{i}", question=question, choices=dict(text=texts, label=list(labels)), answerKey=key) for i, (question, texts, labels, key) in enumerate(rows)]


ARC = arc([("Which is hot?", ["ice", "fire", "snow", "rain"], "ABCD", "B"), ("Which can fly? ", ["a bird", "a stone", 'a "rock"'], "123", "1"),
           ("What do plants need?", ["light", "shoes", "hats", "It's late"], "ABCD", "A"), ("Which is big?", ["an ant", "a whale", "a bee", "a fly"], "ABCD", "B"),
           ("Which is wet?", ["sand", "dust", "water", "stone"], "1234", "3")])
CSQA = arc([(" Where do you sleep?", ["bed", "road", "cup", "roof", "oven"], "ABCDE", "A"), ("What do you eat with? ", ["a hat", "a spoon", "a door", "ink", "a fan"], "ABCDE", "B"),
            ("Where is milk kept cold?", ["fridge", "stove", "bath", "pocket", "lamp"], "ABCDE", "A"), ("Who bakes?", ["a baker", "a fish", "a tree", "fog", "a car"], "ABCDE", "A"),
            ("What shines?", ["mud", "the sun", "coal", "wool", "bread"], "ABCDE", "B")])
NLI = [("Tom runs home.", "Tom moves", 0), ("It’s raining {hard}.", "The sun shines. ", 2), ("A man eats.", "A man eats soup.", 1), ("Two dogs bark.", "Dogs make noise.", 0), ("Ann sits.", "Ann stands", 2)]
YES_NO = [("How do I cook rice?", "How is rice cooked?", 1), ("Who is Ann?", "Where is \"Ann\"?", 0), ("Is it late?", "Is it  late?", 1), ("Can I go?", "May I go?", 1), ("What is this?", "What was that?", 0)]
LABELS = [[1, 0, 0], [1, 1, 0, 0], [1, 0], [1, 1, 0], [1, 0, 0]]
ANSWERS = [["No.", "Yes.", "It depends."], ["Nobody knows.", "I have no comment.", "Ten.", "It's two."], ["Nothing happens", "You turn blue"],
           ["Water", "Rain water", "Sand"], ["It sets in the west.", "It sets in the east.", "It does not."]]
QUESTIONS = ["Can pigs fly?", "How many angels are there?", "What happens if you eat a \"seed\"?", "What falls from clouds?", "Where does the sun set?"]

RECORDS = {
    "blimp_adjunct_island": [dict(sentence_good=f"Who did {a} see while {b} left?", sentence_bad=f"Who did {a} leave while {b} saw?")
                             for a, b in (("Ann", "Tom"), ("Sue", "Bill"), ("a dog", "a cat"), ("he", "she"), ("Bob's aunt", "it"))],
    "sst2": [dict(sentence=s, label=y, idx=i) for i, (s, y) in enumerate([("a warm , funny film ", 1), ("dull and long ", 0), ("it 's good", 1), ("no fun at all", 0), ("lovely", 1)])],
    "qqp": pairs("question1", "question2", YES_NO),
    "mrpc": pairs("sentence1", "sentence2", YES_NO),
    "rte": pairs("sentence1", "sentence2", [(a, b, min(label, 1)) for a, b, label in NLI]),
    "mnli": pairs("premise", "hypothesis", NLI),
    "mnli_mismatch": pairs("premise", "hypothesis", NLI),
    **{f"anli_r{r}": pairs("premise", "hypothesis", NLI, uid="u", reason="") for r in (1, 2, 3)},
    "wic": [dict(word=word, sentence1=a, sentence2=b, start1=a.index(form), end1=a.index(form) + len(form), start2=0, end2=1, label=label, idx=i)
            for i, (word, form, a, b, label) in enumerate([("run", "running", "He is running late.", "Dogs run.", 0), ("bank", "bank", "The bank is shut.", "A bank lends.", 1),
            ("eat", "Eats", "Eats well, sleeps well.", "I eat.", 1), ("light", "light", "A light bag.", "Turn on the light.", 0), ("cut", "cut", "He cut 'it'.", "Cut bread.", 1)])],
    "copa": [dict(premise=p, choice1=a, choice2=b, question=q, label=label, idx=i) for i, (p, a, b, q, label) in enumerate([
             ("The man sat down.", "He was tired.", "He ate.", "cause", 0), ("The glass fell. ", "It broke.", "It flew.", "effect", 0), ("I was cold.", "I ran.", "Snow fell.", "cause", 1),
             ("The dog barked.", "A cat came.", "It slept.", "cause", 0), ("Ann won!", "She wept.", "She cheered.", "effect", 1)])],
    "piqa": [dict(goal=g, sol1=a, sol2=b, label=label) for g, a, b, label in [("keep warm", "put on a hat. ", "put a hat in water.", 0), ("eat an egg", "boil the pan.", "boil it in a pan.", 1),
             ("call a dog", "say its name.", "say your name.", 0), ("dry hair", "use a towel", "use \"soup\"", 0), ("open a jar", "sing", "turn the lid", 1)]],
    "hellaswag": [dict(ind=i, activity_label=act, ctx_a=a, ctx_b=b, ctx=f"{a} {b}", endings=ends, source_id="", split="val", split_type="", label=str(label))
                  for i, (act, a, b, ends, label) in enumerate([
                  ("Sewing", "A man sits.", "he", ["sews a shirt.", "flies.", "is a shirt.", "melts."], 0),
                  ("Baking", "How to bake [title] Take flour.  [step] Stir.", "", ["[substeps] Bake it.", "Eat  flour.", "[title] Stop.", "Run. [step] Sit."], 1),
                  ("Running", "A dog runs.", "The dog", ["barks.", "reads.", "cooks.", "drives."], 0),
                  ("Reading", "Ann opens a book.", "she", ["reads.", "eats it.", "swims.", "rains."], 0), ("Diving", "He jumps.", "", ["Splash.", "Snow.", "Bread.", "Wood."], 0)])],
    "winogrande": [dict(sentence=s, option1=a, option2=b, answer=k) for s, a, b, k in [("Ann called Sue as _ was ill.", "Ann", "Sue", "2"), ("Tom met Bill, and _'s dog barked.", "Tom", "Bill", "1"),
                   ("_ was late, so Sue left Ann.", "Sue", "Ann", "2"), ("The hat fell off the chair as the _ was big .", "hat", "chair", "1"), ("Tom gave Bob soup, for _, too.", "Tom", "Bob", "2")]],
    "social_iqa": [dict(context=c, question=q, answerA=a, answerB=b, answerC=d, label=k) for c, q, a, b, d, k in [
                   ("Ann gave Tom soup.", "How does Tom feel?", "full", "cold", "a spoon", "1"), ("Sue ran.", "Why?", "late", "to win", "red", "2"), ("Bob fell. ", "What next?", "up", "sing", "get up", "3"),
                   ("Tom lied.", "How is Ann?", "cross", "tall", "new", "1"), ("Ann won.", "How does she feel?", "sad", "proud", "wet", "2")]],
    "commonsense_qa": CSQA,
    "arc_easy": ARC,
    "arc_challenge": ARC,
    "openbookqa": [dict(id=r["id"], question_stem=r["question"], choices=r["choices"], answerKey=r["answerKey"]) for r in ARC],
    "sciq": [dict(question=q, distractor1=a, distractor2=b, distractor3=c, correct_answer=d, support=s) for q, a, b, c, d, s in [
             ("What is hot?", "ice", "snow", "rain", "fire", "  Fire burns."), ("What is wet?", "sand", "dust", "wool", "water", ""), ("Who flies?", "a cow", "a pig", "a dog", "a bird", "Birds fly.\nCows do not."),
             ("What falls?", "up", "air", "light", "rain", "Rain falls."), ("What grows?", "iron", "salt", "glass", "grass", "Grass grows.")]],
    "boolq": [dict(question=q, passage=p, label=label, idx=i) for i, (q, p, label) in enumerate([("is ice cold", "Ice -- frozen water.", 1), ("is fire cold", "Fire burns.", 0), ("do cows fly", "Cows walk.\nBirds fly.", 0),
              ("is it late", "It's ten.", 1), ("is sand wet", "Sand is dry.", 0)])],
    "truthfulqa_mc1": [dict(question=q, mc1_targets=dict(choices=a, labels=[1] + [0]*(len(a) - 1)), mc2_targets=dict(choices=a, labels=y)) for q, a, y in zip(QUESTIONS, ANSWERS, LABELS)],
    "lambada_openai": [dict(text=t) for t in ["He sat on the old  chair", "“Go home,” she said to Tom", "it was a long\nday", "The dog ran after the cat", "Rain fell all the night"]],
    "gsm8k": [dict(question=q, answer=a) for q, a in [("A hen lays 2 eggs a day. How many in a week?", "A week has 7 days.\n2 x 7 = <<2*7=14>>14.\n#### 14"), ("Ann has $1,000 and loses $10. How much is left?", "1,000 - 10 = 990\n#### 990"),
              ("What is 600 x 2?", "600 x 2 = 1,200\n#### 1,200"), ("Tom is 3 and Sue 4 years older. How old is Sue?", "3 + 4 = 7\n#### 7"), ("1 - 5?", "It is below 0.\n#### -4")]],
}
RECORDS["truthfulqa_mc2"] = RECORDS["truthfulqa_mc1"]
