"""What models say that is not the text they were asked for, and what people ask them for.

Each pattern is looked for in an answer only, and what the source says as well is never meant.
"""

from __future__ import annotations

import re

_WORK = (
    "润色|改写|修改|优化|改编|翻译|精修|完善|调整|重写|剧本|版本|如下|稿|"
    "polish|revis|rewrit|rewrot|edit|script|screenplay|version|scene|translat|text|below|request"
)
"""Words about the work: a preamble has one of them, a line of dialogue hardly."""

AGREEMENT = re.compile(
    r"^[\s>#*]*(?:好的?|当然|没问题|明白了?|收到|可以|了解"
    r"|sure|certainly|of course|absolutely|ok(?:ay)?|got it|understood)(?:可以|[，,。.！!\s])*$",
    re.IGNORECASE,
)
"""A line that says yes, and nothing else."""

PREAMBLE = re.compile(
    r"^[\s>#*【]*(?:"
    rf"(?:好的?|当然|没问题|明白|收到|可以|了解|以下|下面|这(?:里)?是|根据|按照|我已|已为|我会|我将"
    rf"|为您|为你).{{0,120}}(?:{_WORK})"
    r"|(?:润色|修改|改写|优化|翻译|精修|完善)(?:后|版|稿|结果).{0,20}[:：】*]?$"
    rf"|(?:sure|certainly|of course|absolutely|ok(?:ay)?|here(?:'s|’s| is| are)|below(?: is)?"
    rf"|as requested|i(?:'ve|’ve| have)|got it|the following|this is)\b.{{0,160}}(?:{_WORK})"
    r"|(?:polished|revised|rewritten|edited|translated)\b.{0,40}[:*]?$"
    r")",
    re.IGNORECASE,
)
"""A first line that announces the answer."""

EPILOGUE = re.compile(
    r"^[\s>#*（(]*(?:"
    rf"以上(?:就?是|为|内容).{{0,60}}(?:{_WORK}|全部|内容|完整)"
    r"|(?:希望|愿).{0,12}(?:对?[您你]|这|以上|能).{0,20}(?:帮助|满意|喜欢|要求|需求|有用)"
    r"|(?:如果?|若|倘若|要是)[您你]?(?:还|有|需|想|觉得).{0,60}(?:告诉|告知|联系|调整|修改|随时|提出|说明|润色)"
    r"|(?:请|欢迎)?随时(?:告诉|联系|提|告知)"
    r"|(?:需要|是否需要|要不要).{0,30}(?:吗|么)?[?？]$"
    r"|let me know\b|i hope (?:this|it|that|you)\b|hope (?:this|that) helps|feel free to\b"
    r"|(?:if you(?:'d| would)? (?:like|need|want|have)\b).{0,120}$"
    r"|(?:please )?(?:do )?(?:tell me|let me know) if\b"
    rf"|(?:that|this|above) (?:is|was|concludes)\b.{{0,60}}(?:{_WORK})"
    r"|would you like (?:me|any)\b"
    r")",
    re.IGNORECASE,
)
"""A last line that is for the user."""

NOTES = re.compile(
    r"^[ \t>#*【（(]*(?:"
    r"(?:主要)?(?:修改|润色|改动|优化|调整|改写|变更)(?:的)?(?:说明|要点|内容|点|之处|思路|总结|备注|记录)"
    r"|主要的?(?:修改|改动|变化|调整|优化)[:：*】 ]*$"
    r"|说明[:：] *$|注[:：].{0,40}(?:润色|修改|改写|调整|优化)"
    r"|(?:summary|list|notes?|explanation)\b.{0,20}\b(?:changes|edits|revisions)\b"
    r"|(?:key |main )?(?:changes|edits|revisions)(?: made)? *[:*]"
    r"|notes? *[:*]+ *$"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
"""The heading of notes on the work."""

RULE = re.compile(r"^\s*(?:-{3,}|\*{3,}|_{3,}|={3,}|—{2,}|(?:- ){2,}-)\s*$")
"""A line across the page."""

FENCE = re.compile(r"^[ \t]{0,3}(?:`{3,}|~{3,})[ \t]*[\w+-]*[ \t]*$", re.MULTILINE)

REFUSAL = re.compile(
    r"^[\s>*]*(?:"
    r"(?:(?:很|非常|十分)?(?:对不起|抱歉|遗憾|不好意思)[，,。!！:： ]*)?"
    r".{0,12}(?:无法|不能|没办法|不便|不会|拒绝)(?:为[您你])?(?:继续)?.{0,8}"
    r"(?:协助|提供|满足|完成|生成|处理|回答|润色|改写|创作|帮助|讨论|回应|这[个一]?请求|该(?:请求|内容))"
    r"|作为(?:一[个名])?(?:AI|人工智能|大?语言模型)"
    r"|(?:你好，?)?这个问题我(?:暂时)?无法回答|(?:让|那)?我们换个话题"
    r"|.{0,20}(?:违反|不符合|违规).{0,20}(?:政策|规定|规范|准则|法规)"
    r"|(?:i['’]m |i am |we['’]re )?(?:very |so |really )?(?:sorry|afraid)\b.{0,40}"
    r"(?:can['’]?t|cannot|can not|unable|not able|won['’]?t)"
    r"|i (?:can['’]?t|cannot|can not|won['’]?t|am unable to|['’]m unable to|am not able to)"
    r" (?:assist|help|provide|comply|continue|create|generate|fulfil|rewrite|polish|process|engage"
    r"|produce|write|do)"
    r"|i['’]m (?:unable|not able) to\b|as an ai\b"
    r")",
    re.IGNORECASE,
)
"""How an answer begins that is a refusal. Characters talk like that, too: see REFUSAL_WITHIN."""

REFUSAL_WITHIN = re.compile(
    r"^[ \t\u3000>*（(\[]*(?:"
    r"(?:对不起|抱歉|很遗憾|不好意思)?[，,。! ]*.{0,16}(?:无法|不能|不便)(?:为[您你])?(?:继续)?"
    r".{0,8}(?:请求|润色|改写|生成|剧本|后续内容|该内容|此内容|这段内容|相关内容)"
    r"|作为(?:一[个名])?(?:AI|人工智能|大?语言模型)|as an ai\b"
    r"|(?:i['’]m sorry|sorry).{0,40}(?:can['’]?t|cannot|unable).{0,40}"
    r"(?:request|content|script|assist with)"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
"""A refusal in the midst of a text: it speaks of requests and contents."""

REFUSAL_WORDS = ("无法", "不能", "不便", "ai", "人工智能", "语言模型", "sorry")
"""As with OMISSION_WORDS."""

_OPEN, _CLOSE = "[（(\\[【<]", "[）)\\]】>]"
OMISSION = re.compile(
    rf"{_OPEN}[^）)\]】>\n]{{0,24}}(?:省略|略去|从略|下略|中略|后略|同原文|同原稿|保持原样|保持不变|未改动"
    rf"|无改动|无需修改|未完待续|待续)[^）)\]】>\n]{{0,24}}{_CLOSE}"
    rf"|{_OPEN}\s*略\s*{_CLOSE}"
    rf"|{_OPEN}[^）)\]】>\n]{{0,40}}\b(?:unchanged|omitted|truncated|to be continued"
    rf"|continues? as|same as (?:above|before|(?:the )?original)|rest of the"
    rf"|remaining (?:scene|text|script|dialogue|content|part))\b[^）)\]】>\n]{{0,40}}{_CLOSE}"
    r"|(?:其余|其他|剩余|余下|后续|以下|后面|此后)的?(?:内容|部分|场景|剧情|对白|台词|场次)?(?:均|都|全部)?"
    r"(?:省略|略去|从略|保持不变|不变|同上|同原文|未改动)"
    r"|(?:其余|其他|剩余|余下|后续|以下|后面|之后|此后|下面)[^，,。！？\n]{0,12}"
    r"(?:[与和同跟]原(?:文|稿|剧本|版本?)(?:完全)?(?:一致|相同|一样)|未[作做](?:任何)?(?:修改|改动|调整))"
    r"|(?:篇幅|字数|长度)(?:所限|限制|有限|原因|较长)|(?:回复|输入|发送|说)[“\"'「]?继续[”\"'」]?"
    r"|如需(?:要?我?)?继续|是否(?:需要)?(?:我)?继续|(?:我)?将在下一?(?:条|次|轮)"
    r"|\b(?:the )?rest (?:of [^.\n]{0,40} )?(?:is |are |remains? )(?:unchanged|the same)\b"
    r"|\bremaining [^.\n]{0,40}(?:unchanged|the same|omitted)\b"
    r"|\b(?:due to|because of) (?:the )?(?:length|space|token|character)"
    r"|\b(?:shall i|would you like me to|should i) continue\b|^[^\w\n]*to be continued[^\w\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""Words that stand for text that is not there."""

OMISSION_WORDS = (
    "略", "原文", "原稿", "原剧本", "原版", "原样", "不变", "改动", "无需修改", "未作", "未做",
    "待续", "同上", "篇幅", "字数", "长度",
    "继续", "将在下", "unchanged", "omitted", "truncated", "continue", "same as", "rest",
    "remaining", "due to", "because of",
)  # fmt: skip
"""One of them, in small letters, is in every such phrase. To look for words is quicker."""

ELLIPSIS = re.compile(r"[\[【]\s*(?:\.{3,}|…+)\s*[\]】]")
"""An ellipsis in brackets, where text should be."""

_TASK = (
    "润色|改写|修改|优化|翻译|续写|扩写|精简|校对|检查|重写|调整|完善|改编|打磨|精修|审[阅核]|改进"
)
INSTRUCTION = re.compile(
    r"^[\s>#*]*(?:"
    rf"(?:请|麻烦|帮我?|劳烦|需要你|希望你|我(?:想|要|需要|希望)|你(?:需要|要|来)|烦请)[^：:\n]{{0,120}}"
    rf"(?:{_TASK}|按照?|根据|阅读|分析|输出|处理|保持|保留|不要|仅|只|直接|生成|写|看|对|把|将)"
    rf"|(?:{_TASK})(?:一下|下|以下|下面|如下|这|本|此|该|剧本|对白|台词|全文|文本|内容|要求|成|为|：|:)"
    rf"|(?:把|将|对|给|按照?|根据).{{0,80}}(?:{_TASK})"
    r"|你(?:现在)?是(?:一[位个名])|作为一[位个名]|假[设如]你是|你将扮演"
    r"|(?:要求|注意事?项?|规则|任务|指令|输出(?:格式|要求)|润色要求|修改要求)\s*[:：]"
    r"|(?:以下|下面|如下)(?:就?是|为).{0,30}(?:剧本|文本|内容|原文|正文|台词|对白)"
    r"|(?:剧本|原文|正文|文本|内容)(?:内容|全文)?(?:如下|在下面|见下)"
    r"|(?:please|can you|could you|would you|i want you to|i need you to|you are an?|act as"
    r"|your task)\b"
    r"|(?:polish|rewrite|improve|edit|revise|translate|proofread|shorten|expand|refine|tighten)\b"
    r".{0,80}\b(?:script|screenplay|scenes?|dialogue|text|following|below|episodes?|it|this|into|to)\b"
    r"|(?:requirements?|rules|instructions?|task|notes?)\s*:\s*$"
    r"|(?:here is|here['’]s|below is|the following is|this is)\b.{0,60}"
    r"\b(?:script|screenplay|text|scenes?)"
    r")",
    re.IGNORECASE,
)
"""A line in front of a script that tells a model what to do with it."""

_ABOUT = "以上|上面|上述|前面|全文|全剧|剧本|台词|对白|正文|原文|文本|内容|每一?[场集]"
_REPORT = "写|总结|概括|归纳|提炼|分析|点评|评价|评估|列出|生成|输出|整理|提取|拆解|找出|统计"
CLOSING = re.compile(
    rf"^[\s>#*（(【]*(?=[^\n]{{0,160}}(?:{_TASK}))(?=[^\n]{{0,160}}(?:{_ABOUT}))"
    rf"(?:请|麻烦|帮|劳烦|烦请|以上|上面|上述|根据|按照?|把|将|对|给|需要你|希望你|我(?:想|要|需要|希望)|{_TASK})"
    r"[^：:\n]{0,200}[：:]?[^：:\n]{0,100}$"
    rf"|^[\s>#*（(【]*(?=[^\n]{{0,160}}(?:{_REPORT}))(?=[^\n]{{0,160}}(?:{_ABOUT}))"
    rf"(?:请|麻烦|帮|劳烦|烦请|以上|上面|上述|根据|按照?|需要你|希望你|{_REPORT})"
    r"[^：:\n]{0,200}[：:]?[^：:\n]{0,100}$"
    r"|^[\s>#*（(【]*(?:润色|修改|改写|输出)?(?:要求|注意事?项|规则|任务)[：:]\s*$"
    r"|^[\s>#*(]*(?:please|now|can you|could you|would you|i want you to|i need you to|your task"
    r"|polish|rewrite|improve|edit|revise|translate|proofread|shorten|expand|refine|tighten"
    r"|summari[sz]e|analy[sz]e|review|outline|list|write|extract)\b"
    r"(?=.{0,160}\b(?:polish|rewrite|improve|edit|revise|translate|proofread|shorten|expand|refine"
    r"|tighten|summari[sz]e|outline)|(?<=[a-z]).{0,80}\b(?:above|script|screenplay)\b)"
    r".{0,160}\b(?:above|script|screenplay|text|dialogue|scenes?|episodes?)\b.{0,160}$",
    re.IGNORECASE,
)
"""A line behind a script that tells a model what to do with it. Prose hardly ever sounds so."""

LIST_ITEM = re.compile(
    r"^\s*(?:[-*•·–]|[（(]?\d{1,2}[.、)）．]|[一二三四五六七八九十]{1,2}、|[①-⑳])"
)

TRANSLATION = re.compile(
    r"翻译|译[成为]|(?:英|中|日|韩|法|德|俄|泰|越|西班牙|葡萄牙|阿拉伯|印尼)(?:文|语)|双语"
    r"|\btranslat|\binto (?:english|chinese|japanese|korean|spanish|french|german|thai|portuguese)"
    r"|\bin (?:english|chinese|japanese|korean|spanish|french|german|thai|portuguese)\b",
    re.IGNORECASE,
)
"""An instruction that asks for another language."""

_LANGUAGES = (
    "english|chinese|japanese|korean|spanish|french|german|thai|portuguese|arabic|vietnamese"
)
TRANSLATION_ASKED = re.compile(
    r"(?<![不勿别])(?:翻译|译)(?:成|为|到)|(?:请|帮我?|需要|负责)(?:你)?(?:逐句|逐行|全文)?翻译"
    r"|翻译.{0,10}(?:剧本|台词|对白|全文|以下|下面|上面)|双语|你是.{0,12}翻译"
    rf"|\btranslat\w+\b.{{0,80}}\b(?:script|screenplay|dialogue|(?:in)?to (?:{_LANGUAGES}))\b"
    rf"|\binto (?:{_LANGUAGES})\b|you are .{{0,30}}translator",
    re.IGNORECASE,
)
"""The same in messages that also say a hundred other things (不要翻译人名)."""
