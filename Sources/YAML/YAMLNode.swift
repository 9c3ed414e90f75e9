/// One node of a YAML document: a scalar, a sequence or a mapping, with the place where it stood.
///
/// Two nodes are equal when they mean the same: marks, quotes and the block or flow form make no difference, the order of a
/// mapping's keys does.
public struct YAMLNode: Sendable {
    /// What a node holds.
    public enum Content: Sendable, Hashable {
        /// A single value.
        case scalar(YAMLScalar)
        /// A list.
        case sequence([YAMLNode])
        /// Keys with values, in the order of the text.
        case mapping(YAMLMapping)
    }

    /// What the node holds.
    public var content: Content
    /// Where it begins; `.none` for nodes made in code.
    public var mark: YAMLMark

    /// Makes a node.
    public init(_ content: Content, at mark: YAMLMark = .none) {
        self.content = content
        self.mark = mark
    }

    /// A string; the emitter quotes it where it would be read as something else.
    public init(_ text: String) { self.init(.scalar(YAMLScalar(string: text))) }

    /// A number.
    public init(_ number: Int) { self.init(.scalar(YAMLScalar(plain: String(number)))) }

    /// A truth value.
    public init(_ flag: Bool) { self.init(.scalar(YAMLScalar(plain: flag ? "true" : "false"))) }

    /// A list.
    public init(_ items: [YAMLNode]) { self.init(.sequence(items)) }

    /// A list of strings.
    public init(_ items: [String]) { self.init(.sequence(items.map { YAMLNode($0) })) }

    /// A mapping.
    public init(_ mapping: YAMLMapping) { self.init(.mapping(mapping)) }

    /// The null value.
    public static let null = YAMLNode(.scalar(YAMLScalar(plain: "null")))
}

extension YAMLNode: Hashable {
    /// Compares the meaning, not the marks.
    public static func == (left: YAMLNode, right: YAMLNode) -> Bool { left.content == right.content }

    /// Hashes the meaning, not the marks.
    public func hash(into hasher: inout Hasher) { hasher.combine(content) }
}

// MARK: - Reading

extension YAMLNode {
    /// The scalar, if the node is one.
    public var scalar: YAMLScalar? {
        if case .scalar(let scalar) = content { scalar } else { nil }
    }

    /// The items, if the node is a sequence.
    public var sequence: [YAMLNode]? {
        if case .sequence(let items) = content { items } else { nil }
    }

    /// The mapping, if the node is one.
    public var mapping: YAMLMapping? {
        if case .mapping(let mapping) = content { mapping } else { nil }
    }

    /// The text of a scalar that Kubernetes would read as a string (quoted, or plain and nothing else).
    public var string: String? {
        if case .string(let text)? = scalar?.value { text } else { nil }
    }

    /// The number, if the node is a whole one.
    public var integer: Int? {
        if case .integer(let number)? = scalar?.value { number } else { nil }
    }

    /// The truth value, if the node is one.
    public var bool: Bool? {
        if case .bool(let flag)? = scalar?.value { flag } else { nil }
    }

    /// Whether the node is null: `null`, `~` or nothing.
    public var isNull: Bool { scalar?.value == .null }

    /// The value of a mapping's key; nil when the node is no mapping or has no such key.
    public subscript(key: String) -> YAMLNode? { mapping?[key] }

    /// The node at the end of a way through mappings; nil as soon as a key is missing.
    public func at(_ path: String...) -> YAMLNode? {
        var node = self
        for key in path {
            guard let next = node[key] else { return nil }
            node = next
        }
        return node
    }

    /// What the node is, for messages: "a string", "a list".
    public var kindInWords: String {
        switch content {
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .scalar(let scalar):
            switch scalar.value {
            case .null: "nothing"
            case .bool: "a truth value (\(scalar.text))"
            case .integer, .float: "a number"
            case .string: "a string"
            }
        }
    }
}

// MARK: - Literals

extension YAMLNode: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self.init(value) }

    /// A number.
    public init(integerLiteral value: Int) { self.init(value) }

    /// A truth value.
    public init(booleanLiteral value: Bool) { self.init(value) }

    /// A list.
    public init(arrayLiteral elements: YAMLNode...) { self.init(elements) }

    /// A mapping in the order given; of keys that repeat the last value counts.
    public init(dictionaryLiteral elements: (String, YAMLNode)...) {
        self.init(YAMLMapping(elements.map { ($0.0, $0.1) }))
    }
}
