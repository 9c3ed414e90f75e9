/// A scalar: its text, and whether it stood without quotes, which decides what the text means.
public struct YAMLScalar: Sendable {
    /// How the text stood in the document.
    public enum Style: Sendable, Hashable {
        /// Without quotes: `1.30` is a number, `yes` a truth value.
        case plain
        /// In single or double quotes, or tagged `!!str`: always a string.
        case quoted
        /// A block after `|` or `>`: always a string.
        case block
    }

    /// The text, quotes and escapes resolved.
    public var text: String
    /// How it stood.
    public var style: Style

    /// Makes a scalar.
    public init(_ text: String, style: Style) {
        self.text = text
        self.style = style
    }

    /// A string, whatever its text looks like.
    public init(string: String) { self.init(string, style: .quoted) }

    /// A scalar that means what its bare text means.
    public init(plain: String) { self.init(plain, style: .plain) }

    /// What the scalar means to Kubernetes.
    public var value: YAMLValue { style == .plain ? YAMLValue(plain: text) : .string(text) }
}

extension YAMLScalar: Hashable {
    /// Scalars are equal when they mean the same: `yes` is `true`, but not `"yes"`.
    public static func == (left: YAMLScalar, right: YAMLScalar) -> Bool {
        // The first condition makes `.nan` equal to itself.
        left.style == right.style && left.text == right.text || left.value == right.value
    }

    /// Hashes the meaning.
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

/// What a scalar means, by the rules of the library that Kubernetes reads its documents with (YAML 1.1 truth values).
public enum YAMLValue: Hashable, Sendable {
    /// Nothing.
    case null
    /// A truth value.
    case bool(Bool)
    /// A whole number of 64 bits.
    case integer(Int)
    /// Any other number.
    case float(Double)
    /// A text.
    case string(String)

    /// Finds what a text without quotes means.
    ///
    /// Whole numbers may be hexadecimal (`0x1f`), octal (`0755`, `0o755`) or binary (`0b1`) and hold underscores. Dates and
    /// times stay strings, as they do for Kubernetes.
    public init(plain text: String) {
        switch text {
        case "", "~", "null", "Null", "NULL": self = .null
        case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": self = .bool(true)
        case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": self = .bool(false)
        case ".nan", ".NaN", ".NAN": self = .float(.nan)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": self = .float(.infinity)
        case "-.inf", "-.Inf", "-.INF": self = .float(-.infinity)
        default: self = Self.number(text) ?? .string(text)
        }
    }

    private static func number(_ text: String) -> YAMLValue? {
        guard let first = text.utf8.first, text.utf8.count <= 400 else { return nil }
        guard (0x30...0x39).contains(first) || [0x2b, 0x2d, 0x2e].contains(first) else { return nil }
        let digits = text.filter { $0 != "_" }
        if let whole = wholeNumber(digits) { return .integer(whole) }
        guard isDecimal(digits), let number = Double(digits.first == "." ? "0" + digits : digits) else { return nil }
        return .float(number)
    }

    private static func wholeNumber(_ text: String) -> Int? {
        var digits = Substring(text)
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            if first == "-" { sign = "-" }
            digits = digits.dropFirst()
        }
        var radix = 10
        if digits.utf8.count > 1, digits.first == "0" {
            switch digits.dropFirst().first {
            case "x", "X": (radix, digits) = (16, digits.dropFirst(2))
            case "o", "O": (radix, digits) = (8, digits.dropFirst(2))
            case "b", "B": (radix, digits) = (2, digits.dropFirst(2))
            default: (radix, digits) = (8, digits.dropFirst())
            }
        }
        guard let first = digits.utf8.first, first != 0x2b, first != 0x2d else { return nil }
        return Int(sign + digits, radix: radix)
    }

    /// `[-+]? ( digits [ . digits? ] | . digits ) ( e [-+]? digits )?`
    private static func isDecimal(_ text: String) -> Bool {
        var rest = Substring(text)
        func takeDigits() -> Int {
            let digits = rest.utf8.prefix { (0x30...0x39).contains($0) }.count
            rest = rest.dropFirst(digits)
            return digits
        }
        if let first = rest.first, first == "-" || first == "+" { rest = rest.dropFirst() }
        var count = takeDigits()
        if rest.first == "." {
            rest = rest.dropFirst()
            count += takeDigits()
        }
        guard count > 0 else { return false }
        guard let exponent = rest.first else { return true }
        guard exponent == "e" || exponent == "E" else { return false }
        rest = rest.dropFirst()
        if let first = rest.first, first == "-" || first == "+" { rest = rest.dropFirst() }
        return takeDigits() > 0 && rest.isEmpty
    }
}
