"""The words by which logs name their columns and actions, and how well a name fits a column of the contract.

Names are compared plain (without case, spaces and signs). Every list begins with the contract's own name and goes from
the surest to the least sure, so that of several fitting columns the surest is taken.
"""

import re
from typing import Final

from whybuy.columns import (
    ACTION,
    ARM,
    AVAILABLE,
    BRAND,
    CAMPAIGN,
    CATEGORY,
    CURRENCY,
    DESCRIPTION,
    ITEM,
    ORDER,
    PRICE,
    PROPENSITY,
    QUANTITY,
    QUERY,
    RATING,
    SESSION,
    SLOT,
    TEXT,
    TIME,
    TITLE,
    USER,
)
from whybuy.events.presets import plain


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NAMES: Final[dict[str, str]] = {
    USER: "userid user visitorid visitor customerid customer customerkey custid clientid client householdid "
    "householdkey household memberid member accountid account buyerid buyer shopperid shopper reviewerid reviewer "
    "personid person profileid contactid uid userpseudoid anonymousid fullvisitorid cookieid cookie deviceid email",
    TIME: "ts timestamp eventtimestamp eventtime eventts time datetime eventdatetime occurredat createdat serverts "
    "servertime clienttime timestampms timems unixtime unixreviewtime reviewtime transactiontimestamp purchasetime "
    "orderpurchasetimestamp ordertime transactiontime date eventdate transactiondate purchasedate orderdate "
    "invoicedate reviewdate created when day",
    ACTION: "action event eventtype eventname behavior behaviour behaviortype behaviourtype actiontype type "
    "interaction interactiontype activity activitytype operation verb",
    ITEM: "itemid item productid product productkey skuid sku articleid article asin parentasin stockcode movieid "
    "contentid goodsid listingid bookid isbn variantid productsku itemsku upc ean",
    SESSION: "sessionid session usersession sessid visitid gasessionid",
    ORDER: "orderid order ordernumber orderno invoiceid invoiceno invoicenumber invoice basketid basket transactionid "
    "transaction receiptid purchaseid",
    QUERY: "query searchquery searchterm search searchterms searchstring searchphrase keyword keywords searchtext "
    "searchkeyword",
    RATING: "rating stars starrating ratingvalue overall reviewscore reviewrating score",
    TEXT: "text reviewtext reviewbody reviewcomment review comment body",
    PRICE: "price unitprice itemprice productprice saleprice sellingprice pricepaid priceusd listprice",
    QUANTITY: "quantity qty units numitems itemcount unitssold",
    CURRENCY: "currency currencycode",
    CAMPAIGN: "campaignid campaign campaignname campaigncode utmcampaign",
    ARM: "arm treatmentarm variant testgroup treatmentgroup experimentgroup treatment",
    PROPENSITY: "propensity propensityscore pscore",
    SLOT: "slot position rank pos slotid displayposition listposition",
    CATEGORY: "category categorypath categorycode categoryname itemcategory productcategory maincategory categoryid "
    "catid cat genre genres department departmentname commoditydesc producttype",
    BRAND: "brand brandname brandid manufacturer manufacturerid vendor",
    TITLE: "title itemname productname producttitle itemtitle description productdescription",
    DESCRIPTION: "description productdescription itemdescription longdescription",
    AVAILABLE: "available instock isavailable active availability",
}
_SYNONYMS: Final = {column: [plain(word) for word in words.split()] for column, words in _NAMES.items()}
_IN_ITEMS_FILE: Final = {ITEM: ["id"], TITLE: ["name"]}
_IN_USERS_FILE: Final = {USER: ["id"]}

TOTALS: Final = _set_of(
    "amount amountusd linetotal totalprice total salesvalue revenue linevalue netamount grossamount lineamount sales "
    "value spend subtotal amountpaid"
)
"""Names of the value of a whole line, where the contract wants the price of a unit."""
POSITIONS: Final = ("position", "sequence", "seq", "step", "orderindex", "eventindex", "rank", "eventnumber")
"""Names of a place in the user's order of time, where a log has no times."""

_ACTIONS: Final[dict[str, str]] = {
    "view": "view pv pageview viewed views productview productviewed viewitem viewproduct itemview itempage detail "
    "viewdetail productdetail viewcontent browse screenview visit open details",
    "search": "search searches searched query searching viewsearchresults productssearched",
    "favorite": "favorite favourite fav favorited collect like liked wishlist addtowishlist bookmark save "
    "addtofavorites productaddedtowishlist wish",
    "cart": "cart addtocart add addcart addtobasket basket atc cartadd addedtocart productadded carted addtobag",
    "remove": "remove removefromcart removecart cartremove deletefromcart removed removefrombasket productremoved",
    "purchase": "purchase buy transaction order purchased bought ordered ordercompleted orderplaced placeorder sale "
    "paid payment conversion checkoutcomplete completepurchase pay",
    "return": "return returned refund refunded returns orderrefunded",
    "review": "review reviewed reviews writereview comment",
    "rating": "rating rate rated ratings",
    "impression": "impression imp impressions exposure exposed show shown display displayed viewpromotion viewitemlist",
    "click": "click clk clicked clicks tap selectitem productclicked selectcontent selectpromotion clickout",
    "campaign": "campaign campaignsent send sent emailsent mailing pushsent smssent campaignreceived",
    "redeem": "redeem redeemed redemption couponredeemed coupon redeemcoupon",
}  # fmt: skip
_ACTION_OF: Final = {plain(word): action for action, words in _ACTIONS.items() for word in words.split()}

_PROTECTED: Final = _set_of(
    "age ages agegroup agerange agecode birth birthday birthdate birthyear dob gender sex income race ethnicity "
    "ethnic religion marital married nationality disability disabled orientation pregnant pregnancy kids kid "
    "children child"
)


def fit(column: str, contract: str, *, role: str = "events") -> int:
    """Return how well a source column's name fits a column of the contract: 0 not at all, 100 its own name."""
    name = plain(column)
    extra = {"items": _IN_ITEMS_FILE, "users": _IN_USERS_FILE}.get(role, {}).get(contract, [])
    known = [*_SYNONYMS[contract], *extra]
    if name in known:
        return max(60, 100 - known.index(name))
    if contract in (USER, ITEM, SESSION, ORDER, CAMPAIGN):
        return _fit_of_words(words_of(column), known)
    return 0


def _fit_of_words(words: list[str], known: list[str]) -> int:
    """Score names such as ``customer_unique_id``: a known word and a word for an id."""
    if len(words) < 2 or words[-1] not in ("id", "key", "code", "no", "number", "uuid"):
        return 0
    return 50 if any(word in known for word in words[:-1]) or "".join(words[-2:]) in known else 0


def words_of(column: str) -> list[str]:
    """Return the words of a name: ``"ageGroup:20-30"`` -> ``["age", "group", "20", "30"]``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return [word for word in re.split(r"[\W_]+", spaced.casefold()) if word]


def action_of(value: str) -> str | None:
    """Return the contract's action that a value of a log's action column means, or None."""
    return _ACTION_OF.get(plain(value))


def action_in(stem: str) -> str | None:
    """Return the action that a file's name tells: ``train-purchases`` -> ``purchase``."""
    singular = [word if word in _ACTION_OF else word.removesuffix("s") for word in words_of(stem)]
    found = {_ACTION_OF[word] for word in singular if word in _ACTION_OF}
    return found.pop() if len(found) == 1 else None


def is_protected(attribute: str) -> bool:
    """Return whether a user attribute is named like one that people must not be judged by."""
    return any(word in _PROTECTED for word in words_of(attribute))
