//! Which functions there are, and for which types: data.
//!
//! One line for each function: its name, then its overloads. A method's first type stands before a dot. `A` and `B` are any
//! type, the same in one overload; `?A` is an optional value, `[A]` a list, `{A:B}` a map.

/// The libraries of fluxcd/pkg/runtime/cel 0.110: cel-go 0.26's standard library, optional types, and its extensions for
/// strings, sets and encoders.
const TABLE: &str = "
_==_ (A,A)>bool
_!=_ (A,A)>bool
!_ (bool)>bool
-_ (int)>int (double)>double
_?_:_ (bool,A,A)>A
_+_ (bytes,bytes)>bytes (double,double)>double (duration,duration)>duration (duration,timestamp)>timestamp (timestamp,duration)>timestamp (int,int)>int ([A],[A])>[A] (string,string)>string (uint,uint)>uint
_-_ (double,double)>double (duration,duration)>duration (int,int)>int (timestamp,duration)>timestamp (timestamp,timestamp)>duration (uint,uint)>uint
_*_ (double,double)>double (int,int)>int (uint,uint)>uint
_/_ (double,double)>double (int,int)>int (uint,uint)>uint
_%_ (int,int)>int (uint,uint)>uint
_[_] ([A],int)>A ({A:B},A)>B (?[A],int)>?A (?{A:B},A)>?B
_[?_] ([A],int)>?A ({A:B},A)>?B (?[A],int)>?A (?{A:B},A)>?B
@in (A,[A])>bool (A,{A:B})>bool
size (bytes)>int bytes.()>int ([A])>int [A].()>int ({A:B})>int {A:B}.()>int (string)>int string.()>int
type (A)>type
bool (bool)>bool (string)>bool
bytes (bytes)>bytes (string)>bytes
double (double)>double (int)>double (string)>double (uint)>double
duration (duration)>duration (int)>duration (string)>duration
dyn (A)>dyn
int (int)>int (double)>int (duration)>int (string)>int (timestamp)>int (uint)>int
string (string)>string (bool)>string (bytes)>string (double)>string (duration)>string (int)>string (timestamp)>string (uint)>string
timestamp (timestamp)>timestamp (int)>timestamp (string)>timestamp
uint (uint)>uint (double)>uint (int)>uint (string)>uint
contains string.(string)>bool
endsWith string.(string)>bool
startsWith string.(string)>bool
matches (string,string)>bool string.(string)>bool
getFullYear timestamp.()>int timestamp.(string)>int
getMonth timestamp.()>int timestamp.(string)>int
getDayOfYear timestamp.()>int timestamp.(string)>int
getDayOfMonth timestamp.()>int timestamp.(string)>int
getDate timestamp.()>int timestamp.(string)>int
getDayOfWeek timestamp.()>int timestamp.(string)>int
getHours timestamp.()>int timestamp.(string)>int duration.()>int
getMinutes timestamp.()>int timestamp.(string)>int duration.()>int
getSeconds timestamp.()>int timestamp.(string)>int duration.()>int
getMilliseconds timestamp.()>int timestamp.(string)>int duration.()>int
charAt string.(int)>string
indexOf string.(string)>int string.(string,int)>int
lastIndexOf string.(string)>int string.(string,int)>int
lowerAscii string.()>string
upperAscii string.()>string
replace string.(string,string)>string string.(string,string,int)>string
split string.(string)>[string] string.(string,int)>[string]
substring string.(int)>string string.(int,int)>string
trim string.()>string
reverse string.()>string
format string.([dyn])>string
join [string].()>string [string].(string)>string
strings.quote (string)>string
sets.contains ([A],[A])>bool
sets.equivalent ([A],[A])>bool
sets.intersects ([A],[A])>bool
base64.decode (string)>bytes
base64.encode (bytes)>string
optional.of (A)>?A
optional.ofNonZeroValue (A)>?A
optional.none ()>?A
optional.unwrap ([?A])>[A]
unwrapOpt [?A].()>[A]
value ?A.()>A
hasValue ?A.()>bool
or ?A.(?A)>?A
orValue ?A.(A)>A
first [A].()>?A
last [A].()>?A
";

/// What can be ordered; numbers of different types can be, too.
const ORDERED: &str = "(bool,bool)>bool (int,int)>bool (int,double)>bool (int,uint)>bool (uint,uint)>bool (uint,double)>bool (uint,int)>bool (double,double)>bool (double,int)>bool (double,uint)>bool (string,string)>bool (bytes,bytes)>bool (timestamp,timestamp)>bool (duration,duration)>bool";

/// A type as the table writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Dyn,
    /// What could not be told; it fits everything, so that one mistake is told once.
    Error,
    Named(&'static str),
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Optional(Box<Type>),
    /// Not known yet.
    Param(usize),
}

impl Type {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    pub(super) fn optional(inner: Self) -> Self {
        Self::Optional(Box::new(inner))
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dyn | Self::Param(_) => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
            Self::Named(name) => f.write_str(name),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
        }
    }
}

/// One form of a function; its type parameters are 0 and 1.
pub(super) struct Overload {
    pub(super) is_method: bool,
    /// A method's target is the first.
    pub(super) arguments: Vec<Type>,
    pub(super) result: Type,
}

/// Whether a function of that name exists.
pub(super) fn is_known(function: &str) -> bool {
    forms(function).is_some()
}

/// The overloads of a function; none when nobody knows it.
pub(super) fn overloads(function: &str) -> Vec<Overload> {
    forms(function).into_iter().flat_map(str::split_whitespace).filter_map(overload).collect()
}

fn forms(function: &str) -> Option<&'static str> {
    if matches!(function, "_<_" | "_<=_" | "_>_" | "_>=_") {
        return Some(ORDERED);
    }
    TABLE.lines().find_map(|line| line.strip_prefix(function)?.strip_prefix(' '))
}

fn overload(form: &'static str) -> Option<Overload> {
    let (head, result) = form.rsplit_once('>')?;
    let (target, list) = head.split_once('(')?;
    let target = target.strip_suffix('.');
    let list = list.strip_suffix(')')?;
    let mut arguments: Vec<Type> = target.iter().filter_map(|target| read(target)).collect();
    arguments.extend(list.split(',').filter(|text| !text.is_empty()).filter_map(read));
    Some(Overload { is_method: target.is_some(), arguments, result: read(result)? })
}

fn read(text: &'static str) -> Option<Type> {
    if let Some(inner) = text.strip_prefix('?') {
        return Some(Type::optional(read(inner)?));
    }
    if let Some(element) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Some(Type::list(read(element)?));
    }
    if let Some(entry) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let (key, value) = entry.split_once(':')?;
        return Some(Type::map(read(key)?, read(value)?));
    }
    Some(match text {
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        "dyn" => Type::Dyn,
        name => Type::Named(name),
    })
}
