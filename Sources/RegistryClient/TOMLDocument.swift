/// A value of a TOML document, with the place where it stands.
struct TOMLNode: Hashable, Sendable {
    /// The sorts of values that `registries.conf` uses.
    enum Value: Hashable, Sendable {
        case string(String)
        case integer(Int64)
        case boolean(Bool)
        case array([TOMLNode])
        case table([String: TOMLNode])
    }

    /// Where something stands in the text; both count from 1.
    struct Place: Hashable, Sendable {
        var line: Int
        var column: Int
    }

    var value: Value
    var place: Place

    /// What it is, for messages.
    var kind: String {
        switch value {
        case .string: "a string"
        case .integer: "an integer"
        case .boolean: "a boolean"
        case .array: "an array"
        case .table: "a table"
        }
    }
}

/// A table while the text is being read: tables are opened, left and opened again, so it has an identity.
final class TOMLTableBuilder {
    /// Who made a table decides what may still be added to it (TOML 1.0, "Table").
    enum Origin {
        /// It is only a part of the name of another one.
        case implied
        /// It has its own `[header]`.
        case header
        /// It was made by `a.b = …`.
        case dottedKey
        /// It was written as `{…}`.
        case inline
    }

    enum Entry {
        case value(TOMLNode)
        case table(TOMLTableBuilder)
        case tables([TOMLTableBuilder])
    }

    var origin: Origin
    var entries: [String: Entry] = [:]
    let place: TOMLNode.Place

    init(_ origin: Origin, at place: TOMLNode.Place) {
        self.origin = origin
        self.place = place
    }

    /// The finished table.
    var node: TOMLNode {
        let members = entries.mapValues { entry in
            switch entry {
            case .value(let node): node
            case .table(let table): table.node
            case .tables(let tables): TOMLNode(value: .array(tables.map(\.node)), place: tables.first?.place ?? place)
            }
        }
        return TOMLNode(value: .table(members), place: place)
    }
}
