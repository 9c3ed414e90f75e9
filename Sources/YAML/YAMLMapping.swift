/// The keys and values of a mapping, in their order.
///
/// Keys are texts, as they are for Kubernetes, whose documents are JSON underneath.
public struct YAMLMapping: Sendable {
    /// A key with its value.
    public struct Entry: Sendable, Hashable {
        /// The key's text.
        public var key: String
        /// Where the key stands; for a merged key, where it stands in the mapping that it came from.
        public var keyMark: YAMLMark
        /// The value.
        public var value: YAMLNode

        /// Makes an entry.
        public init(key: String, keyMark: YAMLMark = .none, value: YAMLNode) {
            self.key = key
            self.keyMark = keyMark
            self.value = value
        }

        /// Compares key and value, not the marks.
        public static func == (left: Entry, right: Entry) -> Bool { left.key == right.key && left.value == right.value }

        /// Hashes key and value, not the marks.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(key)
            hasher.combine(value)
        }
    }

    /// The entries in their order.
    public private(set) var entries: [Entry] = []
    private var positions: [String: Int] = [:]

    /// Makes an empty mapping.
    public init() {}

    /// Makes a mapping in the order given; of keys that repeat the last value counts.
    public init(_ pairs: [(String, YAMLNode)]) {
        for (key, value) in pairs { self[key] = value }
    }

    /// The value of a key. Setting one that is there keeps its place, a new one goes to the end, nil takes it out.
    public subscript(key: String) -> YAMLNode? {
        get { positions[key].map { entries[$0].value } }
        set {
            if let newValue {
                if let position = positions[key] {
                    entries[position].value = newValue
                } else {
                    append(Entry(key: key, value: newValue))
                }
            } else if let position = positions.removeValue(forKey: key) {
                entries.remove(at: position)
                for index in position..<entries.count { positions[entries[index].key] = index }
            }
        }
    }

    /// Adds an entry at the end.
    ///
    /// - Returns: false, and nothing is changed, when the key is there already.
    @discardableResult
    public mutating func append(_ entry: Entry) -> Bool {
        guard positions[entry.key] == nil else { return false }
        positions[entry.key] = entries.count
        entries.append(entry)
        return true
    }

    /// The entry of a key, with the key's mark.
    public func entry(_ key: String) -> Entry? { positions[key].map { entries[$0] } }

    /// Whether the mapping has no key.
    public var isEmpty: Bool { entries.isEmpty }
}

extension YAMLMapping: Hashable {
    /// Compares keys and values in their order.
    public static func == (left: YAMLMapping, right: YAMLMapping) -> Bool { left.entries == right.entries }

    /// Hashes keys and values in their order.
    public func hash(into hasher: inout Hasher) { hasher.combine(entries) }
}

extension YAMLMapping: Sequence {
    /// Walks the entries in their order.
    public func makeIterator() -> IndexingIterator<[Entry]> { entries.makeIterator() }
}

extension YAMLMapping: ExpressibleByDictionaryLiteral {
    /// A mapping in the order given; of keys that repeat the last value counts.
    public init(dictionaryLiteral elements: (String, YAMLNode)...) {
        self.init(elements.map { ($0.0, $0.1) })
    }
}
