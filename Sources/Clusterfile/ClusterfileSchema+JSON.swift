import YAML

extension ClusterfileSchema {
    /// The JSON Schema (draft 2020-12) of one document of a Clusterfile, whatever its kind, as a text that is the
    /// same every time.
    ///
    /// It is what editors need. `Cluster.parse` is stricter: it knows addresses, networks, and what fields mean to
    /// each other.
    public static let jsonSchema: String = {
        var definitions = YAMLMapping()
        for document in documents { definitions[document.kind] = schema(document) }
        let whole: YAMLNode = [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://sealer.io/clusterfile.schema.json",
            "title": "Clusterfile",
            "description": "One document of a Clusterfile of sealer.",
            "oneOf": YAMLNode(documents.map { ["$ref": YAMLNode("#/$defs/\($0.kind)")] }),
            "$defs": YAMLNode(definitions),
        ]
        return JSONText.text(of: whole) + "\n"
    }()

    private static func schema(_ document: Document) -> YAMLNode {
        var fields = document.fields
        // Older API groups are read, too.
        if let index = fields.firstIndex(where: { $0.name == "apiVersion" }), !document.olderVersions.isEmpty {
            let older = document.olderVersions.map { ($0, $0) }
            fields[index].type = .choice(document.apiVersions, older: older)
        }
        var schema = mapping(fields, isOpen: document.isOpen)
        schema["description"] = YAMLNode(document.meaning)
        return YAMLNode(schema)
    }

    private static func mapping(_ fields: [Field], isOpen: Bool = false) -> YAMLMapping {
        var properties = YAMLMapping()
        for field in fields {
            switch field.state {
            case .refused: continue
            case .ignored: properties[field.name] = ["description": YAMLNode(field.meaning), "deprecated": true]
            case .supported:
                // A field with nothing behind it counts as left out.
                var own = field.isRequired ? schema(field.type) : orNull(schema(field.type))
                own["description"] = YAMLNode(field.meaning)
                if let standard = field.standard { own["$comment"] = YAMLNode("default: \(standard)") }
                properties[field.name] = YAMLNode(own)
                for other in field.aliases + field.olderNames {
                    own["description"] = YAMLNode("Another name of \(field.name).")
                    own["$comment"] = nil
                    if field.olderNames.contains(other) { own["deprecated"] = true }
                    properties[other] = YAMLNode(own)
                }
            }
        }
        var schema: YAMLMapping = ["type": "object", "properties": YAMLNode(properties)]
        let required = fields.filter(\.isRequired).map(\.name)
        if !required.isEmpty { schema["required"] = YAMLNode(required) }
        if !isOpen { schema["additionalProperties"] = false }
        return schema
    }

    private static func orNull(_ schema: YAMLMapping) -> YAMLMapping {
        var result = schema
        if let type = schema["type"] {
            result["type"] = YAMLNode([type, "null"])
        } else if let words = schema["enum"]?.sequence {
            result["enum"] = YAMLNode(words + [.null])
        } else if let only = schema["const"] {
            result["const"] = nil
            result["enum"] = YAMLNode([only, .null])
        } else if let types = schema["anyOf"]?.sequence {
            result["anyOf"] = YAMLNode(types + [["type": "null"]])
        }
        return result
    }

    private static func schema(_ type: FieldType) -> YAMLMapping {
        func integer(_ range: ClosedRange<Int>) -> YAMLMapping {
            ["type": "integer", "minimum": YAMLNode(range.lowerBound), "maximum": YAMLNode(range.upperBound)]
        }
        switch type {
        case .text(nil): return ["type": "string"]
        case .text(let pattern?): return ["type": "string", "pattern": YAMLNode("^(?:\(pattern))$")]
        case .choice(let words, let older): return ["enum": YAMLNode(words + older.map(\.0))]
        case .number(let range): return integer(range)
        case .quotableNumber(let range):
            let digits: YAMLNode = ["type": "string", "pattern": "^[0-9]*$"]
            return ["anyOf": YAMLNode([YAMLNode(integer(range)), digits])]
        case .flag(nil): return ["type": "boolean"]
        case .flag(let only?): return ["const": YAMLNode(only)]
        case .list(let item): return ["type": "array", "items": YAMLNode(schema(item))]
        case .mapping(let fields): return mapping(fields)
        case .map(let value): return ["type": "object", "additionalProperties": YAMLNode(schema(value))]
        case .either(let types): return ["anyOf": YAMLNode(types.map { YAMLNode(schema($0)) })]
        case .anything: return [:]
        }
    }
}

/// Writes nodes as JSON, two blanks a level, keys in the order given.
enum JSONText {
    static func text(of node: YAMLNode, indent: Int = 0) -> String {
        let inner = String(repeating: " ", count: indent + 2)
        let end = "\n" + String(repeating: " ", count: indent)
        switch node.content {
        case .scalar(let scalar):
            switch scalar.value {
            case .null: return "null"
            case .bool(let flag): return flag ? "true" : "false"
            case .integer(let number): return String(number)
            case .float, .string: return quoted(scalar.text)
            }
        case .sequence(let items):
            if items.isEmpty { return "[]" }
            return "[\n" + items.map { inner + text(of: $0, indent: indent + 2) }.joined(separator: ",\n") + end + "]"
        case .mapping(let mapping):
            if mapping.isEmpty { return "{}" }
            let entries = mapping.map { inner + quoted($0.key) + ": " + text(of: $0.value, indent: indent + 2) }
            return "{\n" + entries.joined(separator: ",\n") + end + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
