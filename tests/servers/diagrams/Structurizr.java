import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.structurizr.Workspace;
import com.structurizr.dsl.StructurizrDslParser;
import com.structurizr.model.Element;
import com.structurizr.model.Relationship;
import com.structurizr.view.ModelView;
import com.structurizr.view.View;

/** Structurizr DSL sources (a JSON list on stdin) through Structurizr's own parser: elements, relationships, views. */
public class Structurizr {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        ArrayNode results = mapper.createArrayNode();
        for (JsonNode source : mapper.readTree(System.in)) {
            ObjectNode result = results.addObject();
            try {
                StructurizrDslParser parser = new StructurizrDslParser();
                parser.parse(source.asText());
                describe(parser.getWorkspace(), result);
            } catch (Exception error) {
                result.put("error", String.valueOf(error.getMessage()));
            }
        }
        mapper.writeValue(System.out, results);
    }

    private static void describe(Workspace workspace, ObjectNode result) {
        result.put("name", workspace.getName());
        ArrayNode elements = result.putArray("elements");
        for (Element element : workspace.getModel().getElements()) {
            ObjectNode one = elements.addObject();
            one.put("kind", element.getClass().getSimpleName()).put("name", element.getName());
            one.put("tags", element.getTags());
        }
        ArrayNode relationships = result.putArray("relationships");
        for (Relationship relationship : workspace.getModel().getRelationships()) {
            if (relationship.getLinkedRelationshipId() == null) {
                relationships.addObject()
                    .put("source", relationship.getSource().getName())
                    .put("target", relationship.getDestination().getName())
                    .put("description", relationship.getDescription())
                    .put("tags", relationship.getTags());
            }
        }
        ArrayNode views = result.putArray("views");
        for (View view : workspace.getViews().getViews()) {
            int size = view instanceof ModelView ? ((ModelView) view).getElements().size() : 0;
            views.addObject().put("key", view.getKey()).put("elements", size);
        }
    }
}
