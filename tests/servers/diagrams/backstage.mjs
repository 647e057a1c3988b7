// Lists of catalog entities (a JSON list of lists on stdin) through Backstage's own policies: errors of each entity.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const model = createRequire(`${process.argv[2]}/`)("@backstage/catalog-model");
const policy = model.EntityPolicies.allOf([
  new model.SchemaValidEntityPolicy(),
  new model.DefaultNamespaceEntityPolicy(),
  new model.FieldFormatEntityPolicy(),
  new model.NoForeignRootFieldsEntityPolicy(),
]);
const kinds = { Component: model.componentEntityV1alpha1Validator, Resource: model.resourceEntityV1alpha1Validator };

async function check(entity) {
  try {
    await policy.enforce(entity);
    if (!(await kinds[entity.kind].check(entity))) {
      return "not of its kind";
    }
    for (const ref of entity.spec.dependsOn ?? []) {
      model.parseEntityRef(ref);
    }
    return "";
  } catch (error) {
    return String(error.message ?? error);
  }
}

const results = [];
for (const entities of JSON.parse(readFileSync(0, "utf8"))) {
  results.push(await Promise.all(entities.map(check)));
}
process.stdout.write(JSON.stringify(results));
