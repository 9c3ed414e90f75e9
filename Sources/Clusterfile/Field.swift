/// A field of a Clusterfile's documents: the one description that the reader, the JSON schema and `sealer explain` go
/// by.
struct Field: Sendable {
    /// Whether sealer does something with it.
    enum State: Sendable {
        /// It does.
        case supported
        /// Other tools of the field have it; here it is a mistake that says so.
        case refused(String)
        /// Files of other tools have it; it is passed over with a warning.
        case ignored(String)
    }

    /// The name, as files have it.
    var name: String
    /// What stands there.
    var type: FieldType
    /// What it means, a sentence or more.
    var meaning: String
    /// What holds when it is left out.
    var standard: String?
    /// How it may look, in YAML.
    var example: String?
    /// Where it comes from: a release of the field, or ours.
    var since: String?
    /// Other names that are read as well.
    var aliases: [String] = []
    /// Names of older releases that are read with a warning.
    var olderNames: [String] = []
    /// Whether it must be there.
    var isRequired = false
    /// Whether its value must not be shown.
    var isSecret = false
    /// Whether sealer does something with it.
    var state = State.supported

    /// Makes a field.
    init(
        _ name: String, _ type: FieldType, _ meaning: String, standard: String? = nil, example: String? = nil,
        since: String? = nil, aliases: [String] = [], olderNames: [String] = [], isRequired: Bool = false,
        isSecret: Bool = false
    ) {
        self.name = name
        self.type = type
        self.meaning = meaning
        self.standard = standard
        self.example = example
        self.since = since
        self.aliases = aliases
        self.olderNames = olderNames
        self.isRequired = isRequired
        self.isSecret = isSecret
    }

    /// A field that is a mistake, and why.
    static func refused(_ name: String, _ reason: String = "is not supported yet") -> Field {
        var field = Field(name, .anything, "Refused: it \(reason).")
        field.state = .refused(reason)
        return field
    }

    /// A field that is passed over, and why.
    static func ignored(_ name: String, _ reason: String) -> Field {
        var field = Field(name, .anything, "Passed over with a warning: it \(reason).")
        field.state = .ignored(reason)
        return field
    }

    /// Whether sealer does something with it.
    var isSupported: Bool {
        if case .supported = state { true } else { false }
    }

    /// Every name that is read.
    var names: [String] { [name] + aliases + olderNames }
}

/// What can stand at a field.
indirect enum FieldType: Sendable {
    /// A string; the pattern is an ECMA regular expression for all of it, for the schema.
    case text(pattern: String? = nil)
    /// One of some words; the older ones are read as one of them.
    case choice([String], older: [(String, String)] = [])
    /// A whole number.
    case number(ClosedRange<Int>)
    /// A whole number, or its digits in quotes, as older files have it.
    case quotableNumber(ClosedRange<Int>)
    /// true or false; or only one of them, when the other is not supported.
    case flag(only: Bool? = nil)
    /// A list.
    case list(FieldType)
    /// Keys that are named here.
    case mapping([Field])
    /// Keys of the user's own.
    case map(FieldType)
    /// One or the other.
    case either([FieldType])
    /// Whatever YAML can say.
    case anything

    /// The fields of a mapping, or of the mappings in a list.
    var fields: [Field]? {
        switch self {
        case .mapping(let fields): fields
        case .list(let item): item.fields
        default: nil
        }
    }

    /// The type for people.
    var words: String {
        switch self {
        case .text: "string"
        case .choice(let words, _): words.joined(separator: " | ")
        case .number(let range): "number, \(range.lowerBound) to \(range.upperBound)"
        case .quotableNumber(let range): "number, \(range.lowerBound) to \(range.upperBound)"
        case .flag(nil): "true or false"
        case .flag(let only?): "\(only)"
        case .list(let item): "list of \(item.isPlainText ? "strings" : item.fields == nil ? item.words : "mappings")"
        case .mapping: "mapping"
        case .map: "mapping of strings"
        case .either(let types): types.map(\.words).joined(separator: ", or ")
        case .anything: "anything"
        }
    }

    private var isPlainText: Bool {
        if case .text = self { true } else { false }
    }
}
